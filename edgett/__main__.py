"""python -m edgett"""

from edgett.cli import main

main()

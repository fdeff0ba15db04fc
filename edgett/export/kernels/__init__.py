"""C of edgett's own, in the place of what emx-onnx-cgen writes: a kernel is a C file here, and what calls it.

In the files `NAME` stands for the name of the model. Products are in `product`; small operators are below.
"""

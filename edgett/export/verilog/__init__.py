"""Hardware that rebuilds the weights of layers in forms from their int8 factors, in Verilog."""

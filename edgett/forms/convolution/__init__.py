"""The forms for convolutions: chains of convolutions that are smaller, and how they are fitted."""

"""The methods of the paper and their controls, over arrays."""

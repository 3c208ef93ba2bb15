"""Slow, plain, independent implementations that the library is compared with."""

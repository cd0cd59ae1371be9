"""The local cloud: the synthesized template in moto, its functions as real processes. Never deployed."""

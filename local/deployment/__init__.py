"""Templates: synthesizes them, lets moto create what it can, and reads from them what the other rooms play."""

"""The local cloud: deploys the synthesized template into moto and runs its functions as real processes. Never deployed."""

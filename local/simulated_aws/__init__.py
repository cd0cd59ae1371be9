"""The rest of AWS, which is moto: how a request is read, how moto is called, and what is patched in it."""

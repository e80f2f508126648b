"""How fast `scratch` is beside other libraries, on this machine's CPU: `twice bench`."""

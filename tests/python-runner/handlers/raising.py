def load():
    raise ValueError("at load")


load()

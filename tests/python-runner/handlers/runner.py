WHOSE = "the function"

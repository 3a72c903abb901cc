import atexit

atexit.register(print, "exit handler")


def handler(event, context):
    print("busy")
    while True:
        pass

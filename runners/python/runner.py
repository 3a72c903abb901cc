"""Runs inside every Python worker; see the package `sst_runner`, which does the work.

The package is kept by a compiler's cache, which a script is not: that is why there is so little here.
"""

# A process that `multiprocessing` starts loads this file once more, under another name. It is no worker.
if __name__ == "__main__":
    import os
    import sys

    HERE = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, HERE)
    from sst_runner import start

    # Modules of the function may be called as ours are.
    sys.path[:] = [entry for entry in sys.path if entry != HERE]
    start.main()

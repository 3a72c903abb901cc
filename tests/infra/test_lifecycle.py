"""Until when AWS creates functions on its runtimes, as this project and cfn-lint say it."""

import json
import pathlib
import unittest

import cfnlint

OURS = pathlib.Path(__file__).parents[2] / "src/languages/lifecycle.json"
THEIRS = pathlib.Path(cfnlint.__file__).parent / "data/AdditionalSpecs/LmbdRuntimeLifecycle.json"


class Lifecycle(unittest.TestCase):
    def test_the_days_are_the_same(self):
        ours = {name: runtime["createdUntil"] for name, runtime in json.loads(OURS.read_text()).items()}
        theirs = {name: runtime["create-block"] for name, runtime in json.loads(THEIRS.read_text()).items() if runtime["create-block"]}
        self.maxDiff = None
        self.assertEqual(ours, theirs)


if __name__ == "__main__":
    unittest.main()

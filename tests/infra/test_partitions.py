"""The partitions and regions of AWS, as this project and botocore say them."""

import json
import pathlib
import re
import unittest

import botocore

OURS = pathlib.Path(__file__).parents[2] / "stub/wire/src/partition.rs"
REGIONS = pathlib.Path(__file__).parents[2] / "src/aws/regions.rs"
THEIRS = pathlib.Path(botocore.__file__).parent / "data/partitions.json"


class Partitions(unittest.TestCase):
    def test_each_region_is_of_its_partition(self):
        listed = re.findall(r'\("([a-z-]+)", "([a-z-]+)", "([a-z0-9.-]+)"\)', OURS.read_text())

        def ours(region):
            return next(((name, suffix) for beginning, name, suffix in listed if region.startswith(beginning)), ("aws", "amazonaws.com"))

        partitions = json.loads(THEIRS.read_text())["partitions"]
        self.assertEqual({name for _, name, _ in listed} | {"aws"}, {partition["id"] for partition in partitions})
        for partition in partitions:
            expected = (partition["id"], partition["outputs"]["dnsSuffix"])
            for region in partition["regions"]:
                if "global" not in region:
                    self.assertEqual(ours(region), expected, region)

    def test_each_region_has_its_title(self):
        listed = re.findall(r'^    \("([a-z0-9-]+)", "(.+)"\),$', REGIONS.read_text(), re.MULTILINE)
        partitions = json.loads(THEIRS.read_text())["partitions"]
        regions = [region for partition in partitions for region in partition["regions"].items()]
        self.assertEqual(listed, [(name, said["description"]) for name, said in regions if "global" not in name])


if __name__ == "__main__":
    unittest.main()

"""The networks that find faces, trained from aligned portraits and photographs without people.

    python -m examples.faces --data portraits/train --photos photos --out weights.safetensors

Every portrait is aligned, so a scene in which portraits are pasted turned, shrunk and spoiled says
for free where its faces lie. Takes about half an hour on one free core; the same seed gives the
same networks on the same machine.

Data and rights of the weights that come with the install: the portraits are official ones of
members of the US Congress and of US federal staff, works of the US government, in the public
domain. What is no face: nine photographs of the package lomiri-wallpapers, CC BY 4.0 by
A. Berasategi, Trevor "Freespace" and J. Mede, CC0 by C. Engelhardt, and textures of scikit-image.
No weights of others, and no data with other terms, went into them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import torch

from examples.faces.detector_training import train_detector
from examples.faces.refiner_training import train_refiner
from examples.faces.scenes import Scenery
from examples.faces.sources import read_photographs, read_portraits
from ugpnet_core.faces.network import Networks, save_networks

RECORD = {
    "trained_by": "python -m examples.faces",
    "data": "official portraits of the US Congress and US federal staff (public domain); "
    "lomiri-wallpapers (CC BY 4.0: A. Berasategi, Trevor 'Freespace', J. Mede; CC0: C. Engelhardt)"
    "; textures of scikit-image",
    "license": "Apache-2.0",
}


def main() -> None:
    """Train the detector, then the refiner on its false alarms, and write both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="aligned portraits, in folders")
    parser.add_argument(
        "--photos", type=Path, required=True, nargs="+", help="photographs without people"
    )
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    parser.add_argument("--detector-steps", type=int, default=2000)
    parser.add_argument(
        "--refiner-steps", type=int, nargs="+", default=[1200, 800], help="of each turn"
    )
    parser.add_argument(
        "--mined", type=int, default=60, help="batches of scenes searched for false alarms"
    )
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)

    scenery = Scenery(read_portraits(arguments.data), read_photographs(arguments.photos))
    detector = train_detector(scenery, arguments.detector_steps)
    refiner = train_refiner(scenery, detector, arguments.refiner_steps, arguments.mined)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_networks(Networks(detector, refiner), arguments.out, RECORD)


if __name__ == "__main__":
    main()

"""Where: kinds of region, and the samplers that draw them."""

from augdrop.regions.base import Region
from augdrop.regions.beta_boxes import BetaBoxes
from augdrop.regions.blocks import Blocks, RandomBlocks
from augdrop.regions.boxes import Boxes
from augdrop.regions.cells import Cells
from augdrop.regions.grid import Grid
from augdrop.regions.mask import Mask, RandomPixels
from augdrop.regions.random_boxes import AreaBoxes, CentredBoxes, Everywhere, Holes, MinMaxBoxes
from augdrop.regions.random_cells import RandomCells, TopCells
from augdrop.regions.random_grid import RandomGrid

__all__ = [
    "AreaBoxes",
    "BetaBoxes",
    "Blocks",
    "Boxes",
    "Cells",
    "CentredBoxes",
    "Everywhere",
    "Grid",
    "Holes",
    "Mask",
    "MinMaxBoxes",
    "RandomBlocks",
    "RandomCells",
    "RandomGrid",
    "RandomPixels",
    "Region",
    "TopCells",
]

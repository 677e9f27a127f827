"""Make the font of the formulas from STIX Two Math: ``python make_math_font.py STIXTwoMath-Regular.ttf``.

Only the characters that formulas need stay, and all radicals become about as narrow as the smallest: Chromium leaves
room for the widest of them behind every root. Needs fontTools and brotli.
"""

import sys
from pathlib import Path

from fontTools import subset

OUTPUT = Path(__file__).parents[1] / "_static" / "fonts" / "stix-two-math.woff2"
RANGES = (
    "20-7E,A0-FF,131,237,2B0-2FF,300-36F,370-3FF,2010-206F,20D0-20FF,2100-214F,2190-21FF,2200-22FF,2308-230B,"
    "2329-232A,23B0-23B1,23D0,23DC-23E1,25A0-25A1,25CB,25CF,27E6-27EF,27F5-27FF,2A00-2A0C,2A3F,2A7D-2A7E,2AAF-2AB0,"
    "1D400-1D7FF"
)
RADICAL, WIDEST = 0x221A, 860


def larger_radicals(font):
    """Return the names of the glyphs of larger radicals."""
    variants = font["MATH"].table.MathVariants
    name = font.getBestCmap()[RADICAL]
    construction = variants.VertGlyphConstruction[variants.VertGlyphCoverage.glyphs.index(name)]
    records = [record.VariantGlyph for record in construction.MathGlyphVariantRecord]
    return {*records, *(part.glyph for part in construction.GlyphAssembly.PartRecords)} - {name}


def narrow(font, name):
    """Make a glyph narrower."""
    glyph, (width, bearing) = font["glyf"][name], font["hmtx"][name]
    scale = min(1, WIDEST / width)
    glyph.coordinates.scale((scale, 1))
    glyph.recalcBounds(font["glyf"])
    font["hmtx"][name] = (round(scale * width), round(scale * bearing))


def main(source):
    """Write the font."""
    options = subset.Options(flavor="woff2", hinting=False, layout_features=["ssty", "dtls", "flac", "kern"])
    font = subset.load_font(source, options)
    for name in larger_radicals(font):
        narrow(font, name)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=subset.parse_unicodes(RANGES))
    subsetter.subset(font)
    subset.save_font(font, str(OUTPUT), options)


if __name__ == "__main__":
    main(*sys.argv[1:])

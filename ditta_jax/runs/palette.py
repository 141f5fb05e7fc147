"""Colours for classes that come without any."""

import colorsys


def distinct_colors(count: int) -> tuple[tuple[int, int, int], ...]:
    """`count` RGB triples, 0…255: hues a golden angle apart, in three brightnesses."""
    colors = []
    for i in range(count):
        hue, value = (i * 0.61803398875) % 1.0, (1.0, 0.75, 0.55)[i % 3]
        red, green, blue = colorsys.hsv_to_rgb(hue, 0.65, value)
        colors.append((round(255 * red), round(255 * green), round(255 * blue)))
    return tuple(colors)

# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The frame of a picture."""


def document(width, height, parts):
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
                      f'<rect width="{width}" height="{height}" fill="white"/>', *parts]) + "</svg>\n"

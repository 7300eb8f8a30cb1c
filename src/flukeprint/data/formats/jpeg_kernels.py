"""Decodes a sequential JPEG at an eighth of its size, compiled by numba: the loops over its bits.

At an eighth of the size a block of 8 x 8 pixels becomes one, its mean.  libjpeg decodes the 63
other coefficients of a block to throw them away; here a table says of the next 13 bits how many
whole coefficients they hold, and these are skipped together.  Where colour has half the resolution
in both directions, as most cameras write it, its blocks become 2 x 2 pixels, from the same integer
arithmetic as libjpeg's (`jidctred.c`): the pixels are the same, bit by bit.

Nothing is read or written outside the arrays, whatever the bytes say, and whatever is not perfectly
in order is refused.  Section numbers are those of ITU-T T.81.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from flukeprint.data.formats.jpeg_header import NO_PIXEL, WIDE

Kernel = TypeVar("Kernel", bound=Callable[..., object])
Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Number: TypeAlias = Any  # an integer of 64 bits, which only numba tells from Python's

# Bits of a buffer: 64, the next one first, of which the first `have` are known to be right.
U = np.uint64
_ONES, _HIGHS = U(0x0101010101010101), U(0x8080808080808080)
_MOST = 2047  # a larger dequantised coefficient, which no encoder writes, may overflow in libjpeg


# Without numba's memory management (_nrt), as counting references to the arrays, which the caller
# holds, takes a third of the time.  So no kernel makes an array.
_compile = partial(numba.njit, nogil=True, cache=True, error_model="numpy", _nrt=False)


def _compiled(function: Kernel) -> Kernel:
    return cast(Kernel, _compile(function))


def _inlined(function: Kernel) -> Kernel:
    return cast(Kernel, _compile(forceinline=True)(function))


@_compiled
def fill_tables(
    lengths: Bytes,
    symbols: Bytes,
    ac: bool,
    limits: Ints,
    offsets: Ints,
    values: npt.NDArray[np.int32],
    skips: npt.NDArray[np.uint16],
    first: Ints,
) -> bool:
    """Make the lookup tables of a Huffman table (C.2); False if its code is impossible.

    lengths: how many codes have 1..16 bits.
    limits, offsets: (18,), for codes longer than WIDE bits, see `_symbol`.
    values: (2^WIDE,), by the next bits: value << 16 | advance << 8 | bits of a first coefficient
        that these bits hold wholly, else 0.  The advance of an end of block is 128.
    skips: (2^WIDE,), by the next bits: advance << 6 | bits of as many coefficients as they hold,
        or of one whose value reaches beyond; else 0.
    first: (2^WIDE,), zeros.
    """
    # `first`, by the next bits: symbol << 8 | bits of its code.
    code, number = 0, 0
    for length in range(1, 17):
        offsets[length] = number - code
        for _ in range(lengths[length - 1]):
            if code >= 1 << length:
                return False
            if length <= WIDE:
                start = code << (WIDE - length)
                for bits in range(start, start + (1 << (WIDE - length))):
                    first[bits] = np.int64(symbols[number]) << 8 | length
            code += 1
            number += 1
        limits[length] = code << (16 - length)
        code <<= 1
    for bits in range(1 << WIDE):
        symbol, length = first[bits] >> 8, first[bits] & 255
        size = symbol & 15 if ac else symbol
        advance = _advance(symbol) if ac else 1
        if length and advance and length + size <= WIDE:
            value = 0
            if size:
                value = (bits >> (WIDE - length - size)) & ((1 << size) - 1)
                if not value >> (size - 1):
                    value -= (1 << size) - 1
            values[bits] = value << 16 | advance << 8 | (length + size)
        if not ac:
            continue
        total, used = 0, 0
        while used < WIDE:
            found = first[(bits << used) & ((1 << WIDE) - 1)]
            length = found & 255
            advance = _advance(found >> 8)
            ends = used + length + (found >> 8 & 15)
            if not length or used + length > WIDE or not advance or (used and ends > WIDE):
                break
            if advance < 128 and total + advance > 63:
                break
            total += advance
            used = ends
            if advance == 128:
                break
        if used <= 18:  # so that three fit into the 56 bits of a full buffer
            skips[bits] = total << 6 | used
    return True


@_inlined
def _advance(symbol: Number) -> Number:
    """Places that a symbol goes on (F.1.2.2): 128 for an end of block, 0 for what cannot be."""
    run, size = symbol >> 4, symbol & 15
    if size:
        return run + 1
    if run == 0:
        return 128
    return 16 if run == 15 else 0


@_compiled
def _symbol(
    buffer: np.uint64, table: np.uint64, limits: Ints, offsets: Ints, symbols: Bytes
) -> Number:
    """Symbol << 8 | bits of the next code, of any length; -1 for none (F.2.2.3)."""
    code = np.int64(buffer >> U(48))
    for length in range(1, 17):
        if code < limits[table, length]:
            place = (code >> (16 - length)) + offsets[table, length]
            return np.int64(symbols[table, place & 255]) << 8 | length
    return -1


@_inlined
def _value(buffer: np.uint64, size: Number) -> Number:
    """The coefficient that the next `size` bits, at least one, stand for (F.2.2.1)."""
    value = np.int64(buffer >> U(64 - size))
    return value if value >> (size - 1) else value - (1 << size) + 1


@_compiled
def _more(
    data: Bytes, at: np.uint64, buffer: np.uint64, have: np.uint64, made_up: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Fill the buffer to 56 bits or more byte by byte: at, buffer, have, made_up.

    The byte 0 after 255 is dropped.  Before a marker and at the end, zeros are made up.
    """
    while have < U(56):
        byte, step = U(0), U(0)
        if at + U(1) < U(data.size):
            byte = U(data[at])
            step = U(1)
            if byte == U(255):
                step = U(2)
                if data[at + U(1)] != 0:
                    byte, step = U(0), U(0)
        if step == U(0):
            made_up += U(8)
        at += step
        buffer |= byte << (U(56) - have)
        have += U(8)
    return at, buffer, have, made_up


@_inlined
def _word(data: Bytes, at: np.uint64) -> np.uint64:
    return (
        (U(data[at]) << U(56))
        | (U(data[at + U(1)]) << U(48))
        | (U(data[at + U(2)]) << U(40))
        | (U(data[at + U(3)]) << U(32))
        | (U(data[at + U(4)]) << U(24))
        | (U(data[at + U(5)]) << U(16))
        | (U(data[at + U(6)]) << U(8))
        | U(data[at + U(7)])
    )


@_inlined
def _plain(word: np.uint64, have: np.uint64) -> bool:
    """Whether none of the bytes that fill the buffer is 255, which marks another meaning."""
    return not (word & ~(word + _ONES) & _HIGHS) >> U(8) >> (U(56) - ((U(63) - have) & U(56)))


@_compiled
def decode_blocks(
    data: Bytes,
    start: int,
    interval: int,
    columns: int,
    rows: int,
    sampling: Ints,
    tables: Ints,
    quantisation: Ints,
    places: Ints,
    limits: Ints,
    offsets: Ints,
    symbols: Bytes,
    values: npt.NDArray[np.int32],
    skips: npt.NDArray[np.uint16],
    planes: Bytes,
    before: Ints,
    block: Ints,
    half: Ints,
) -> bool:
    """Decode the blocks of an interleaved scan (A.2.3) into planes; False unless all is in order.

    start: of the scan's entropy-coded bytes.  interval: of restarts, in units of blocks, or 0.
    columns, rows: of units.
    sampling: (3, 3), of each component its blocks across and down in a unit, and 1 or 2 for the
        side of what a block becomes.
    tables: (3, 2), of each component its Huffman tables.  quantisation: (3, 64), in zigzag order.
    places: (64,), of each coefficient in zigzag order where it goes, or NO_PIXEL.
    planes: (3, height, width), which are written.
    before, block, half: (3,), (64,) and (2, 8), zeros.
    """
    entry: Number
    value: Number
    size: Number
    advance: Number
    at, buffer, have, made_up = U(start), U(0), U(0), U(0)
    left, restarts = interval, 0
    if data.size < start + 8:
        return False
    safe = U(data.size - 8)
    for row in range(rows):
        for column in range(columns):
            if interval and left == 0:
                # A marker, which ends in the restart's number, after less than a byte of filling.
                if have - made_up >= U(8) or at + U(2) > U(data.size):
                    return False
                if data[at] != 255 or data[at + U(1)] != 0xD0 + (restarts & 7):
                    return False
                at, buffer, have, made_up = at + U(2), U(0), U(0), U(0)
                left, restarts = interval, restarts + 1
                before[0] = before[1] = before[2] = 0
            left -= 1
            for component in range(3):
                across, down = sampling[component, 0], sampling[component, 1]
                side = sampling[component, 2]
                dc, ac = U(tables[component, 0]), U(tables[component, 1])
                for number in range(across * down):
                    word = _word(data, at) if at <= safe else U(0)
                    if at <= safe and _plain(word, have):
                        at += (U(63) - have) >> U(3)
                        buffer |= word >> have
                        have |= U(56)
                    else:
                        at, buffer, have, made_up = _more(data, at, buffer, have, made_up)
                    entry = np.int64(values[dc, buffer >> U(64 - WIDE)])
                    if entry:
                        bits, value = U(entry & 255), entry >> 16
                    else:
                        symbol = _symbol(buffer, dc, limits, offsets, symbols)
                        if symbol < 0 or symbol >> 8 > 11:
                            return False
                        length, size = symbol & 255, symbol >> 8
                        value = _value(buffer << U(length), size) if size else 0
                        bits = U(length + size)
                    buffer <<= bits
                    have -= bits
                    before[component] += value
                    mean = before[component] * quantisation[component, 0]
                    if mean > _MOST or mean < -_MOST:
                        return False
                    y = (row * down + number // across) * side
                    x = (column * across + number % across) * side
                    pixel = np.uint8(min(max(((mean + 4) >> 3) + 128, 0), 255))
                    if side == 1:
                        planes[component, y, x] = pixel
                        place = U(0)
                        while place < U(63):
                            word = _word(data, at) if at <= safe else U(0)
                            if at <= safe and _plain(word, have):
                                at += (U(63) - have) >> U(3)
                                buffer |= word >> have
                                have |= U(56)
                            else:
                                at, buffer, have, made_up = _more(data, at, buffer, have, made_up)
                            skip = U(skips[ac, buffer >> U(64 - WIDE)])
                            then = place + (skip >> U(6))
                            if skip and then < U(63):
                                buffer <<= skip & U(63)
                                have -= skip & U(63)
                                place = then
                                skip = U(skips[ac, buffer >> U(64 - WIDE)])
                                then = place + (skip >> U(6))
                                if skip and then < U(63):
                                    buffer <<= skip & U(63)
                                    have -= skip & U(63)
                                    place = then
                                    skip = U(skips[ac, buffer >> U(64 - WIDE)])
                                    then = place + (skip >> U(6))
                                    if skip and then < U(63):
                                        buffer <<= skip & U(63)
                                        have -= skip & U(63)
                                        place = then
                                        continue
                            # 128 more: an end of block, which may not follow place 63.
                            if skip and (then == U(63) or U(128) <= then < U(128 + 63)):
                                buffer <<= skip & U(63)
                                have -= skip & U(63)
                                break
                            at, buffer, have, made_up = _more(data, at, buffer, have, made_up)
                            symbol = _symbol(buffer, ac, limits, offsets, symbols)
                            if symbol < 0:
                                return False
                            bits = U((symbol & 255) + (symbol >> 8 & 15))
                            buffer <<= bits
                            have -= bits
                            advance = _advance(symbol >> 8)
                            if advance == 128:
                                break
                            place += U(advance)
                            if advance == 0 or place > U(63):
                                return False
                        continue
                    flat = True
                    last = 0
                    while last < 63:
                        word = _word(data, at) if at <= safe else U(0)
                        if at <= safe and _plain(word, have):
                            at += (U(63) - have) >> U(3)
                            buffer |= word >> have
                            have |= U(56)
                        else:
                            at, buffer, have, made_up = _more(data, at, buffer, have, made_up)
                        entry = np.int64(values[ac, buffer >> U(64 - WIDE)])
                        if entry:
                            bits, value, advance = U(entry & 255), entry >> 16, entry >> 8 & 255
                        else:
                            symbol = _symbol(buffer, ac, limits, offsets, symbols)
                            if symbol < 0:
                                return False
                            length, size = symbol & 255, symbol >> 8 & 15
                            value = _value(buffer << U(length), size) if size else 0
                            bits = U(length + size)
                            advance = _advance(symbol >> 8)
                        buffer <<= bits
                        have -= bits
                        if advance == 128:
                            break
                        last += advance
                        if advance == 0 or last > 63:
                            return False
                        goes = places[last]
                        if value and goes != NO_PIXEL:
                            value *= quantisation[component, last]
                            if value > _MOST or value < -_MOST:
                                return False
                            block[goes] = value
                            flat = False
                    if flat:
                        planes[component, y, x] = planes[component, y, x + 1] = pixel
                        planes[component, y + 1, x] = planes[component, y + 1, x + 1] = pixel
                    else:
                        block[0] = mean
                        _to_four(block, half, planes, component, y, x)
                        for coefficient in range(64):
                            block[coefficient] = 0
        if made_up > have:
            return False
    # The picture ends with its marker, after less than a byte of filling.
    if have < made_up or have - made_up >= U(8) or at + U(2) > U(data.size):
        return False
    return bool(data[at] == 0xFF and data[at + U(1)] == 0xD9)


@_inlined
def _to_four(block: Ints, half: Ints, planes: Bytes, component: int, y: int, x: int) -> None:
    """Turn the coefficients (64,) of a block into 2 x 2 pixels, as libjpeg's `jpeg_idct_2x2`.

    half: (2, 8), for what is between the two passes.
    """
    for place in (0, 1, 3, 5, 7):
        even = block[place] << 15
        odd = (
            block[place + 56] * -5906
            + block[place + 40] * 6967
            + block[place + 24] * -10426
            + block[place + 8] * 29692
        )
        half[0, place] = (even + odd + (1 << 12)) >> 13
        half[1, place] = (even - odd + (1 << 12)) >> 13
    for row in range(2):
        even = (half[row, 0] << 15) + (1 << 19)
        odd = (
            half[row, 7] * -5906
            + half[row, 5] * 6967
            + half[row, 3] * -10426
            + half[row, 1] * 29692
        )
        planes[component, y + row, x] = min(max(((even + odd) >> 20) + 128, 0), 255)
        planes[component, y + row, x + 1] = min(max(((even - odd) >> 20) + 128, 0), 255)


@_compiled
def to_rgb(planes: Bytes, across: int, down: int, pixels: Bytes) -> None:
    """Convert Y, Cb and Cr (3, h, w) to RGB (h, w, 3), in libjpeg's integers.

    across, down: bits by which colour has fewer columns and rows.
    """
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            grey: Number = np.int64(planes[0, y, x])
            blue: Number = np.int64(planes[1, y >> down, x >> across]) - 128
            red: Number = np.int64(planes[2, y >> down, x >> across]) - 128
            pixels[y, x, 0] = min(max(grey + ((91881 * red + 32768) >> 16), 0), 255)
            pixels[y, x, 1] = min(max(grey + ((-22554 * blue - 46802 * red + 32768) >> 16), 0), 255)
            pixels[y, x, 2] = min(max(grey + ((116130 * blue + 32768) >> 16), 0), 255)

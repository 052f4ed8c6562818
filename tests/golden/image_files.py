"""Image files of every kind that is read, written by hand where Pillow's writers do not reach.

Pixels come in as bytes in rows from the top: `rgb` has 3 a pixel, `index` and `grey` one.
"""
import struct
import zlib

ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def pack_bits(values, depth):
    """Samples of `depth` bits, highest bits first, the last byte filled up."""
    if depth == 8:
        return bytes(values)
    if depth == 16:
        return b"".join(struct.pack(">H", v) for v in values)
    out, bits, n = bytearray(), 0, 0
    for v in values:
        bits, n = bits << depth | v, n + depth
        if n == 8:
            out.append(bits)
            bits = n = 0
    return bytes(out) + (bytes([bits << 8 - n]) if n else b"")


def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width, height, depth, kind, sample, extra=(), interlace=0, filters=(0,)):
    """sample(x, y) gives the channels' values; filters are taken in turn by the rows (0 or 1 only)."""
    raw, row = bytearray(), 0
    step = max(1, depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind] // 8)
    for x0, y0, dx, dy in ADAM7 if interlace else [(0, 0, 1, 1)]:
        xs, ys = range(x0, width, dx), range(y0, height, dy)
        for y in ys if xs else ():
            line = pack_bits([v for x in xs for v in sample(x, y)], depth)
            how = filters[row % len(filters)]
            row += 1
            if how:
                line = bytes((v - (line[i - step] if i >= step else 0)) & 255 for i, v in enumerate(line))
            raw += bytes([how]) + line
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlace)
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    for name, data in extra:
        out += chunk(name, data)
    return out + chunk(b"IDAT", zlib.compress(bytes(raw), 9)) + chunk(b"IEND", b"")


def rows_of(data, width, height, bottom_up):
    n = len(data) // height
    rows = [data[y * n:y * n + n] for y in range(height)]
    return rows[::-1] if bottom_up else rows


def bmp(width, height, bits, data, palette=(), header=40, top_down=False, masks=None, runs=None, colours=None):
    """data: rows of packed pixels from the top; palette: (r, g, b) ...; runs: coded data instead, 8 or 4."""
    compression = {8: 1, 4: 2}[runs] if runs else 3 if masks else 0
    table = b"".join(bytes([b, g, r]) + (b"" if header == 12 else b"\0") for r, g, b in palette)
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, width, -height if top_down else height, 1, bits, compression,
                           0, 2835, 2835, len(palette) if colours is None else colours, 0)
        if header == 40 and masks:
            table = struct.pack("<III", *masks[:3]) + table
        elif header > 40:
            info += (struct.pack("<IIII", *masks) if masks else b"") + bytes(header)
            info = info[:header]
    body = data
    if not runs:
        body = b"".join(row + bytes(-len(row) % 4) for row in rows_of(data, width, height, not top_down))
    start = 14 + len(info) + len(table)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + info + table + body


def bmp_runs(width, height, index, four=False, jump=True):
    """Run-length coded rows: runs, literals and, in the last row but one, a jump over two pixels."""
    out = bytearray()
    for y, row in enumerate(rows_of(index, width, height, True)):
        x = 0
        if jump and y == 1 and width > 4:
            out += bytes([0, 2, 2, 0])
            x = 2
        while x < width:
            n = 1
            while x + n < width and row[x + n] == row[x] and n < 255:
                n += 1
            if n > 1 or width - x < 3:
                out += bytes([n, row[x] * 17 if four else row[x]])
            else:
                n = min(4, width - x) if four else min(5, width - x)
                if four and n % 2:
                    n += 1 if x + n < width else -1
                values = row[x:x + n]
                coded = pack_bits(values, 4) if four else bytes(values)
                out += bytes([0, n]) if n > 2 else b""
                if n > 2:
                    out += coded + bytes(len(coded) % 2)
                else:
                    for v in values:
                        out += bytes([1, v * 17 if four else v])
            x += n
        out += b"\0\0"
    return bytes(out) + b"\0\1"


def lzw(index, bits, plain=False, keep=False):
    """plain: literals only, a clear code before the table would need longer codes; keep: a full table is not
    cleared."""
    clear, size, acc, n, out = 1 << bits, bits + 1, 0, 0, bytearray()
    table, word = {}, b""

    def put(code):
        nonlocal acc, n
        acc, n = acc | code << n, n + size
        while n >= 8:
            out.append(acc & 255)
            acc, n = acc >> 8, n - 8

    def reset():
        nonlocal table, size
        table, size = {bytes([i]): i for i in range(clear)}, bits + 1
        table["clear"] = table["end"] = -1  # two codes that are no strings

    reset()
    put(clear)
    if plain:
        for i, v in enumerate(index):
            if i and i % (clear - 2 or 1) == 0:
                put(clear)
            put(v)
    else:
        for v in index:
            longer = word + bytes([v])
            if longer in table:
                word = longer
                continue
            put(table[word])
            if len(table) < 4096:
                table[longer] = len(table)
                size = max(size, (len(table) - 1).bit_length())
            elif not keep:
                put(clear)
                reset()
            word = bytes([v])
        put(table[word])
    put(clear + 1)
    if n:
        out.append(acc)
    blocks = b"".join(bytes([len(out[i:i + 255])]) + out[i:i + 255] for i in range(0, len(out), 255))
    return bytes([bits]) + blocks + b"\0"


def gif(width, height, frame, index, palette, local=None, clear=None, interlace=False, back=0, more=b"", **how):
    """frame: left, top, width, height; palette, local: bytes of 2^k entries or None; clear: an index."""
    table = lambda p: (0x80 | (len(p) // 3).bit_length() - 2) if p else 0
    left, top, w, h = frame
    rows = rows_of(index, w, h, False)
    if interlace:
        rows = rows[0::8] + rows[4::8] + rows[2::4] + rows[1::2]
    out = b"GIF89a" + struct.pack("<HHBBB", width, height, table(palette), back, 0) + (palette or b"")
    out += b"!\xfe\x05hello\0"
    if clear is not None:
        out += struct.pack("<BBBBHBB", 0x21, 0xF9, 4, 1, 10, clear, 0)
    out += b"," + struct.pack("<HHHHB", left, top, w, h, table(local) | (0x40 if interlace else 0)) + (local or b"")
    bits = max(2, max(index).bit_length())
    return out + lzw(b"".join(rows), bits, **how) + more + b";"


def tga(width, height, kind, bits, data, palette=b"", map_bits=0, first=0, packed=False, corner=0x20, note=b""):
    """data: pixels in the file's own bytes from the top left; corner 0x20 begins at the top, 0x10 right."""
    n = bits // 8
    rows = rows_of(data, width, height, not corner & 0x20)
    if corner & 0x10:
        rows = [b"".join(row[i - n:i] for i in range(len(row), 0, -n)) for row in rows]
    if packed:
        rows = [tga_runs(row, n) for row in rows]
    count = len(palette) // ((map_bits + 7) // 8) if palette else 0
    header = struct.pack("<BBBHHBHHHHBB", len(note), 1 if palette else 0, kind | (8 if packed else 0),
                         first if palette else 0, count, map_bits if palette else 0, 0, 0, width, height, bits,
                         corner | (8 if bits == 32 else 0))
    return header + note + palette + b"".join(rows)


def tga_runs(row, n):
    pixels, out, i = [row[j:j + n] for j in range(0, len(row), n)], b"", 0
    while i < len(pixels):
        k = 1
        while i + k < len(pixels) and k < 128 and pixels[i + k] == pixels[i]:
            k += 1
        if k > 1:
            out += bytes([127 + k]) + pixels[i]
        else:
            while i + k < len(pixels) and k < 128 and pixels[i + k] != pixels[i + k - 1]:
                k += 1
            out += bytes([k - 1]) + b"".join(pixels[i:i + k])
        i += k
    return out


def pack_row(row):
    """PackBits."""
    return b"".join(bytes([128 + 129 - len(r)]) + r[:1] if len(r) > 1 and len(set(r)) == 1 else bytes([len(r) - 1]) + r
                    for r in split_runs(row))


def split_runs(row):
    i = 0
    while i < len(row):
        k = 1
        while i + k < len(row) and k < 128 and row[i + k] == row[i]:
            k += 1
        if k == 1:
            while i + k < len(row) and k < 128 and row[i + k] != row[i + k - 1]:
                k += 1
        yield row[i:i + k]
        i += k


def psd(width, height, mode, planes, packed=False, colours=b"", bits=8):
    """planes: bytes of each channel."""
    out = struct.pack(">4sH6sHIIHH", b"8BPS", 1, bytes(6), len(planes), height, width, bits, mode)
    out += struct.pack(">I", len(colours)) + colours
    resource = b"8BIM" + struct.pack(">HBBI", 1005, 0, 0, 16) + bytes(16)
    out += struct.pack(">I", len(resource)) + resource + struct.pack(">I", 0)
    if not packed:
        return out + b"\0\0" + b"".join(planes)
    rows = [pack_row(row) for plane in planes for row in rows_of(plane, width, height, False)]
    return out + b"\0\1" + b"".join(struct.pack(">H", len(r)) for r in rows) + b"".join(rows)


def pnm(kind, width, height, samples, most=255, comment=b""):
    """samples: numbers, row by row."""
    head = b"P%d\n%s%d %d\n" % (kind, comment, width, height)
    if kind in (1, 4):
        if kind == 1:
            lines = [samples[i:i + 60] for i in range(0, len(samples), 60)]
            return head + b"\n".join(b"".join(b"%d" % v for v in line) for line in lines) + b"\n"
        rows = [samples[y * width:y * width + width] for y in range(height)]
        return head + b"".join(pack_bits(row, 1) for row in rows)
    head += b"%d\n" % most
    if kind < 4:
        lines = [samples[i:i + 12] for i in range(0, len(samples), 12)]
        return head + b"\n".join(b" ".join(b"%d" % v for v in line) for line in lines) + b"\n"
    return head + pack_bits(samples, 16 if most > 255 else 8)

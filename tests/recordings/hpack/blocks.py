"""Makes NAME.blocks: header blocks of random fields, each after its length.

    python3 blocks.py nghttp2     by libnghttp2 (any version from 1.0 on)
    python3 blocks.py hpack       by Python's hpack (pip install hpack)

The fields are not written down: encoders.rs draws the same ones from the same generator.
"""

import ctypes as C
import struct
import sys

CONNECTIONS, BLOCKS = 15, 120
SIZES = [0, 64, 256, 1000, 4096]
NAMES = [
    ":method", ":path", ":scheme", ":authority", ":status", "user-agent", "accept", "cookie",
    "x-request-id", "traceparent", "content-type", "authorization", "grpc-timeout", "te",
    "x-b3-sampled",
]
VALUES = [
    "GET", "POST", "/", "/cart", "https", "shop.example", "200", "404", "application/grpc", "1S",
    "trailers", "gzip",
]


class Random:
    def __init__(self, seed):
        self.state = seed

    def below(self, bound):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) & (2**64 - 1)
        return (self.state >> 33) % bound

    def bytes(self, longest, first, count):
        return bytes(first + self.below(count) for _ in range(self.below(longest)))

    def field(self):
        kind = self.below(len(NAMES) + 5)
        name = NAMES[kind] if kind < len(NAMES) else "x-%d" % self.below(40)
        kind = self.below(16)
        if kind < 8:
            value = VALUES[self.below(len(VALUES))].encode()
        elif kind < 12:
            value = b"v%d" % self.below(30)
        elif kind < 14:
            value = self.bytes(60, 33, 94)
        elif kind < 15:
            value = self.bytes(40, 128, 128)
        elif self.below(50) > 0:
            value = self.bytes(300, 33, 94)
        else:
            value = b"l" * (3900 + self.below(300))
        return name.encode(), value, self.below(16) == 0


class Nghttp2:
    seed = 2026

    class Field(C.Structure):
        _fields_ = [
            ("name", C.c_char_p), ("value", C.c_char_p), ("name_len", C.c_size_t),
            ("value_len", C.c_size_t), ("flags", C.c_uint8),
        ]

    def __init__(self):
        self.library = C.CDLL("libnghttp2.so.14")
        self.library.nghttp2_hd_deflate_hd.restype = C.c_ssize_t
        self.deflater = C.c_void_p()
        assert self.library.nghttp2_hd_deflate_new(C.byref(self.deflater), C.c_size_t(4096)) == 0

    def resize(self, size):
        change = self.library.nghttp2_hd_deflate_change_table_size
        assert change(self.deflater, C.c_size_t(size)) == 0

    def encode(self, fields, _huffman):
        fields = [self.Field(n, v, len(n), len(v), int(never)) for n, v, never in fields]
        fields = (self.Field * len(fields))(*fields)
        out = (C.c_uint8 * 65536)()
        length = self.library.nghttp2_hd_deflate_hd(
            self.deflater, out, C.c_size_t(len(out)), fields, C.c_size_t(len(fields))
        )
        assert length > 0, length
        return bytes(out[:length])


class Hpack:
    seed = 2027

    def __init__(self):
        import hpack

        self.encoder = hpack.Encoder()
        self.kinds = hpack.HeaderTuple, hpack.NeverIndexedHeaderTuple

    def resize(self, size):
        self.encoder.header_table_size = size

    def encode(self, fields, huffman):
        fields = [self.kinds[never](name, value) for name, value, never in fields]
        return self.encoder.encode(fields, huffman=huffman)


def main(name):
    encoders = {"nghttp2": Nghttp2, "hpack": Hpack}
    random, out = Random(encoders[name].seed), bytearray()
    for _ in range(CONNECTIONS):
        encoder = encoders[name]()
        for at in range(BLOCKS):
            if at > 0 and random.below(20) == 0:
                encoder.resize(SIZES[random.below(len(SIZES))])
            huffman = random.below(4) > 0
            block = encoder.encode([random.field() for _ in range(1 + random.below(8))], huffman)
            out += struct.pack(">H", len(block)) + block
    with open(name + ".blocks", "wb") as file:
        file.write(out)
    print(CONNECTIONS * BLOCKS, "blocks,", len(out), "bytes")


main(sys.argv[1])

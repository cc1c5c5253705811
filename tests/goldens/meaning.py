"""How the goldens say what bytes mean: numbers by their kind and their bits, and why
something is no point. Shared by the scripts beside this one."""

import re
import struct

NUMERIC_TEXT_BYTES_MAX = 128
FLOAT = re.compile(
    rb"[+-]?(?:inf(?:inity)?|nan|(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)", re.IGNORECASE
)


class Invalid(Exception):
    pass


def integer(n):
    if -(2**63) <= n < 2**63:
        return f"i:{n}"
    if 0 <= n < 2**64:
        return f"u:{n}"
    raise Invalid("out_of_range")


def floating(x):
    # NaN has a sign and a payload that no reader sees.
    if x != x:
        return "f:nan"
    return "f:" + struct.pack(">d", x).hex()


def number(x):
    if isinstance(x, bool):
        return f"b:{int(x)}"
    if isinstance(x, int):
        return integer(x)
    if isinstance(x, float):
        return floating(x)
    text = name(x)
    if text is None or len(text) > NUMERIC_TEXT_BYTES_MAX:
        raise Invalid("not_numeric")
    text = text.strip(b" \t\n\r\x0c")
    if text.isdigit() and int(text) < 2**64:
        return integer(int(text))
    if not FLOAT.fullmatch(text):
        raise Invalid("not_numeric")
    return floating(float(text))


def name(x):
    if isinstance(x, str):
        return x.encode("utf-8", "surrogatepass")
    if isinstance(x, (bytes, bytearray)):
        return bytes(x)
    return None


def pair(x):
    return isinstance(x, (list, tuple)) and len(x) == 2


def nothing_invalid():
    return {"shape": 0, "not_numeric": 0, "out_of_range": 0}

# A tar of a directory as Python's tarfile makes it: tar.py USTAR_FORMAT|GNU_FORMAT|PAX_FORMAT DIRECTORY > TAR. It knows no extended attributes.
import sys
import tarfile


def fitting(info):
    """What the format has no room for is left out."""
    try:
        info.tobuf(tar.format, tar.encoding, tar.errors)
        return info
    except ValueError:
        return None


chosen = getattr(tarfile, sys.argv[1])
with tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=chosen, errors='surrogateescape') as tar:
    tar.add(sys.argv[2], '.', filter=fitting)

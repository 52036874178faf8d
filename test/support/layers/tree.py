# A directory with everything that a layer can hold, for archivers to pack: tree.py DIRECTORY. Wants root, setfacl, and a file system with attributes.
import os, stat, subprocess, sys

root = os.fsencode(sys.argv[1])
os.makedirs(root)
SECOND = 1_000_000_000
THEN = 1_700_000_000 * SECOND


def at(name):
    return os.path.join(root, os.fsencode(name))


def own(name, mode, uid=0, gid=0, mtime=THEN):
    os.chown(at(name), uid, gid, follow_symlinks=False)
    if not os.path.islink(at(name)):
        os.chmod(at(name), mode)
    os.utime(at(name), ns=(mtime, mtime), follow_symlinks=False)


def file(name, content=b'x', mode=0o644, **more):
    os.makedirs(os.path.dirname(at(name)), exist_ok=True)
    with open(at(name), 'wb') as opened:
        opened.write(content)
    own(name, mode, **more)


# A shell, for whoever runs something in it.
with open('/bin/busybox', 'rb') as busybox:
    file('bin/sh', busybox.read(), 0o755)
os.link(at('bin/sh'), at('bin/sleep'))
os.mkdir(at('dev'))

file('file', b'content\n', 0o640, uid=1000, gid=2000, mtime=1_234_567_890_987_654_321)
file('empty', b'', 0)
file('setuid', b'x', 0o6755, uid=65_534, gid=300_000)
file('ids', b'x', 0o600, uid=2_097_152, gid=4_000_000_000)
file('before-1970', mtime=-86_399 * SECOND - 500_000_000)
file('far-future', mtime=9_000_000_000 * SECOND)
file('epoch', mtime=0)
file('block', b'b' * 512)
file('block-and-one', b'b' * 513)
file('large', bytes(range(256)) * 8192)

file('capable', b'#!/bin/true\n', 0o755)
os.setxattr(at('capable'), 'security.capability', bytes.fromhex('0100000200040000000000000000000000000000'))
file('attributed')
for key, value in {'user.text': b'a value\0with a zero\n=', 'user.é': 'é'.encode(), 'trusted.mine': b't'}.items():
    os.setxattr(at('attributed'), key, value)
subprocess.run(['setfacl', '-m', 'u:1234:rw', at('attributed')], check=True)

with open(at('sparse'), 'wb') as sparse:
    for piece in range(40):
        sparse.seek(piece * 131_072)
        sparse.write(b'piece %d' % piece)
    sparse.truncate(6_000_000)
with open(at('hole'), 'wb') as hole:
    hole.truncate(3_000_000)

odd = [' ', 'tab\tnewline\n', 'quote\'s "and" $HOME', 'back\\slash', '-rf', '*?[x]', '😀', '...', 'a=b', '\x01\x7f', b'latin-\xe9']
long = ['é' * 127, *('x' * length for length in (99, 100, 101, 155, 255))]
for name in [*odd, *long]:
    file(os.path.join(b'names', os.fsencode(name)), os.fsencode(name))
file('/'.join(f'level-{level}' for level in range(60)) + '/bottom', b'deep')
file('/'.join(letter * 100 for letter in 'def'), b'long path')
file('p' * 155 + '/' + 'n' * 100, b'ustar has room for it')

os.symlink('/etc/../x', at('absolute'))
own('absolute', 0, 9, 10)
os.symlink('../' + 'l' * 1000 + '/' + 'é' * 100, at('long-link'))
os.symlink('t' * 100, at('link-of-100'))
os.symlink('file', at('to-file'))
os.setxattr(at('to-file'), 'trusted.link', b'on a link', follow_symlinks=False)

file('a-name', b'linked', uid=5)
os.mkdir(at('sub'))
for name in ['other-name', 'sub/third']:
    os.link(at('a-name'), at(name))
os.link(at('names/' + 'x' * 255), at('link-to-long'))
os.link(at('to-file'), at('to-file-too'), follow_symlinks=False)

os.mkfifo(at('fifo'))
own('fifo', 0o620, 1, 2, THEN + 1)
os.mknod(at('null'), stat.S_IFCHR, os.makedev(1, 3))
own('null', 0o666)
os.mknod(at('disk'), stat.S_IFBLK, os.makedev(259, 70_000))
own('disk', 0o660, 0, 6)

os.mkdir(at('sticky'))
os.setxattr(at('sticky'), 'user.dir', b'd')
own('sticky', 0o1777, 3, 4, 1_600_000_000 * SECOND)
file('closed/inside')
own('closed', 0, mtime=SECOND)
own('', 0o751, 7, 8, 1_500_000_000_123_456_789)

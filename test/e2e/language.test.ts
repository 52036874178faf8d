// The Dockerfile language as a build shows it: each row is a stage, and what a command in its end sees. All rows are one build.
// Expected answers are BuildKit's (dockerfile2llb, fsutil/copy, solver/llbsolver/file).

import { execFileSync } from 'node:child_process';
import { chmodSync, linkSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ImageConfig } from '../../src/oci/config.ts';
import { tarOf } from '../support/archives.ts';
import { makeContext } from '../support/contexts.ts';
import { type Built, build } from '../support/events.ts';
import { freshStore } from '../support/stores.ts';
import { tbuildOk } from '../support/tbuild.ts';

/** Instructions on busybox (or all of a Dockerfile, whose last stage has no name), what is run at the end, and what that prints. */
type Row = readonly [title: string, instructions: string, probe: string, expected: string];

const stat = (names: string) => `stat -c '%n %a %u:%g' ${names}`;

const variables: readonly Row[] = [
  ['an instruction sees the environment before it', 'ENV a=1\nENV a=2 b=$a', 'echo $a $b', '2 1'],
  ['single quotes are literal, a backslash protects', `ENV a='$x' b="\${x:-d}" c=\\$x`, 'echo "$a $b $c"', '$x d $x'],
  ['the old form of ENV takes the rest of the line', 'ENV k a b  c', 'echo "[$k]"', '[a b  c]'],
  ['the old form of ENV sets one variable', 'ENV ONE TWO= THREE=x', 'echo "$ONE,$THREE"', 'TWO= THREE=x,'],
  ['a continued value keeps its spaces', 'ENV A="x\\\n   y"', 'echo "$A"', 'x   y'],
  ['an ARG without a value is unset, with an empty one it is empty', 'ARG X\nARG Y=', `echo \${X-unset},\${Y-unset}`, 'unset,'],
  ['an ARG after an ENV wins', 'ENV x=env\nARG x=arg', 'echo $x', 'arg'],
  ['an ENV after an ARG wins', 'ARG x=arg\nENV x=env', 'echo $x', 'env'],
  ['what is given wins over a default', 'ARG given=default', 'echo $given', 'from the command line'],
  ['what is given is nothing without an ARG', '', `echo \${given-unset}`, 'unset'],
  [
    'the ENV of a base wins over its ARG',
    'FROM busybox AS args\nENV v=env\nARG v=arg\nRUN test $v = arg\nFROM args',
    'echo $v',
    'env',
  ],
  ['ARGs go on in a stage that begins from theirs', 'FROM busybox AS args\nARG v=1\nFROM args', 'echo $v', '1'],
  ['platform ARGs are declared first', 'ENV a=$TARGETOS\nARG TARGETOS', 'echo "[$a] $TARGETOS"', '[] linux'],
  ['a # behind an instruction is data', 'RUN echo a # b > /f\nRUN echo "a # b" > /f', 'cat /f', 'a # b'],
  ['no JSON, no exec form', "RUN ['echo','x'] || echo shell > /f", 'cat /f', 'shell'],
];

const copies: readonly Row[] = [
  [
    'a new destination of a directory is root’s and 755, what is in it keeps its mode',
    'COPY tree /n',
    stat('/n /n/sub /n/sub/f'),
    '/n 755 0:0\n/n/sub 750 0:0\n/n/sub/f 640 0:0',
  ],
  [
    'a directory that is there keeps its attributes, those in it do not',
    'RUN mkdir -pm 700 /d && mkdir -m 777 /d/sub && chown 5:5 /d /d/sub\nCOPY tree /d',
    stat('/d /d/sub'),
    '/d 700 5:5\n/d/sub 750 0:0',
  ],
  [
    'owners stay from a stage',
    'FROM busybox AS up\nRUN mkdir /o && touch /o/f && chown 7:8 /o/f\nFROM busybox\nCOPY --from=up /o /o',
    stat('/o /o/f'),
    '/o 755 0:0\n/o/f 644 7:8',
  ],
  [
    'stages are also known by number, and in any case',
    'FROM busybox AS UP\nRUN touch /f\nFROM busybox\nCOPY --from=up /f /a\nCOPY --from=Up /f /b',
    'ls /a /b',
    '/a\n/b',
  ],
  ['a wildcard that matches nothing is nothing', 'COPY a.txt nomatch* /d/', 'ls /d', 'a.txt'],
  ['one match without a slash is a file', 'COPY a.* /d', 'cat /d', 'a'],
  ['of several matches the last one stays', 'COPY *.txt /d', 'cat /d', 'b'],
  ['directories that match are flattened', 'COPY x/* /d/', 'cd /d; ls', 'one\ntwo'],
  [
    'a relative link at the destination is followed',
    'RUN mkdir /real && ln -s real /link\nCOPY a.txt /link/',
    'ls /real',
    'a.txt',
  ],
  [
    'an absolute link in the middle is followed',
    'RUN mkdir -p /real && ln -s /real /link\nCOPY a.txt /link/new/f',
    'ls /real/new',
    'f',
  ],
  [
    'a link to a file at the end is followed',
    'RUN echo old > /file && ln -s file /link\nCOPY a.txt /link',
    'cat /file; readlink /link',
    'a\nfile',
  ],
  ['a link that leads up stays inside', 'RUN ln -s ../../../../esc /link\nCOPY a.txt /link', 'cat /esc', 'a'],
  [
    'in a tree a link is replaced by a file',
    'RUN mkdir /d && ln -s /etc/passwd /d/f\nCOPY tree/sub /d',
    'readlink /d/f || cat /d/f',
    'f',
  ],
  [
    'a source link is followed, links in a tree are not',
    'COPY tolink /d/\nCOPY links /l',
    'ls /d; readlink /l/dangling',
    'f\nnowhere',
  ],
  ['sources are clamped to the context', 'COPY ../../a.txt /../a', 'cat /a', 'a'],
  ['setuid stays', 'COPY setuid /s', stat('/s'), '/s 4755 0:0'],
  ['hard links stay in a tree', 'COPY hard /h', 'stat -c %h /h/one', '2'],
  ['empty directories come along', 'COPY tree /n', 'ls -d /n/empty', '/n/empty'],
  ['an empty destination is the working directory', 'WORKDIR /w\nCOPY a.txt $nothing', 'ls /w', 'a.txt'],
  ['--chown by names', 'COPY --chown=www-data:users a.txt /d/', stat('/d /d/a.txt'), '/d 755 33:100\n/d/a.txt 644 33:100'],
  ['--chown by a name alone takes its group', 'COPY --chown=nobody a.txt /f', stat('/f'), '/f 644 65534:65534'],
  ['--chown by a number alone is its own group', 'COPY --chown=33 a.txt /f', stat('/f'), '/f 644 33:33'],
  [
    '--chown by an unknown group leaves the user’s',
    'COPY --chown=33:nobodys a.txt /f\nCOPY --chown=nobody:nobodys a.txt /g',
    stat('/f /g'),
    '/f 644 33:33\n/g 644 65534:65534',
  ],
  ['--chown by root needs no files', 'RUN rm /etc/group\nCOPY --chown=33:root a.txt /f', stat('/f'), '/f 644 33:0'],
  [
    'in a directory a link of the file’s name is replaced',
    'RUN mkdir /d && ln -s /etc/passwd /d/a.txt && ln -s /etc /d/one\nCOPY a.txt /d\nCOPY <<one /d/\ntext\none',
    'cat /d/a.txt /d/one; test -L /d/one || wc -l < /etc/passwd',
    'a\ntext\n3',
  ],
  ['--chmod of new parents has no special bits', 'COPY --chmod=6711 a.txt /d/f', stat('/d /d/f'), '/d 711 0:0\n/d/f 6711 0:0'],
  [
    '--parents takes patterns as an ignore file does',
    'COPY --parents **/f x/**/one ./tre? /d/',
    'cd /d; find . -type f | sort',
    './tree/sub/f\n./x/1/one',
  ],
  [
    '--exclude counts from where --parents does',
    'COPY --parents --exclude=tree/sub --exclude=**/*.txt *.txt tree x /d/',
    'cd /d; find . | sort',
    '.\n./tree\n./tree/empty\n./x\n./x/1\n./x/1/one\n./x/2\n./x/2/two',
  ],
  [
    'directories that --parents passes through keep their owner',
    'RUN mkdir -p /d/tree/sub && chmod 700 /d/tree && chown 5:6 /d/tree /d/tree/sub\nCOPY --parents tree/sub/f /d/',
    stat('/d/tree /d/tree/sub /d/tree/sub/f'),
    '/d/tree 755 5:6\n/d/tree/sub 750 5:6\n/d/tree/sub/f 640 0:0',
  ],
  ['a heredoc is a file of its last name only', 'COPY <<../../one /d/\ntext\n../../one', 'ls /d', 'one'],
  [
    '--chown with nothing behind the colon is of group 0',
    'COPY --chown=33: a.txt /f\nCOPY --chown=:users a.txt /g',
    stat('/f /g'),
    '/f 644 33:0\n/g 644 0:100',
  ],
  [
    '--link puts a file in place of a directory',
    'RUN mkdir /d && touch /d/x\nCOPY --link a.txt /d\nCOPY --link --chown=root:7 b.txt /f',
    `cat /d; ${stat('/f')}`,
    'a\n/f 644 0:7',
  ],
  [
    'of --parents a base that is a file is taken as it is',
    'COPY --parents a.txt/./** b.*/./nothing /d/',
    'cd /d; ls',
    'a.txt\nb.txt',
  ],
  [
    '--parents from a wildcard, and through no link',
    'COPY --parents x/*/./one tolink/./f tol*/f /d/',
    'cd /d; find . | sort',
    '.\n./f\n./one',
  ],
  ['--chown by an unknown name is root', 'COPY --chown=who:ever a.txt /f', stat('/f'), '/f 644 0:0'],
  [
    '--chown without a passwd file is root',
    'FROM scratch AS none\nCOPY b.txt /\nCOPY --chown=www-data a.txt /f\nFROM busybox\nCOPY --from=none /f /f',
    stat('/f'),
    '/f 644 0:0',
  ],
  [
    '--chmod in octal, for new parents too',
    'ARG m=700\nCOPY --chmod=$m a.txt /d/e/f',
    stat('/d /d/e /d/e/f'),
    '/d 700 0:0\n/d/e 700 0:0\n/d/e/f 700 0:0',
  ],
  [
    '--chmod in symbols',
    'COPY --chmod=go=rX,u+x tree /d',
    stat('/d /d/sub /d/sub/f'),
    '/d 755 0:0\n/d/sub 755 0:0\n/d/sub/f 744 0:0',
  ],
  [
    '--link does not follow links',
    'RUN mkdir /real && ln -s real /link\nCOPY --link a.txt /link/',
    'ls /link /real; test -L /link || echo directory',
    '/link:\na.txt\n\n/real:\ndirectory',
  ],
  ['--link gives directories new modes', 'COPY --link a.txt /tmp/', stat('/tmp'), '/tmp 755 0:0'],
  [
    '--link with --chmod is as without',
    'COPY --link --chmod=600 a.txt /tmp/',
    stat('/tmp /tmp/a.txt'),
    '/tmp 1777 0:0\n/tmp/a.txt 600 0:0',
  ],
  ['--parents', 'COPY --parents tree/./sub/f x/*/one /d/', 'cd /d; find . -type f | sort', './sub/f\n./x/1/one'],
  [
    '--exclude',
    'COPY --exclude=*.txt --exclude=x --exclude=tree/sub . /d/',
    'cd /d; ls -d a.txt x tree tree/sub tree/empty 2>/dev/null',
    'tree\ntree/empty',
  ],
  [
    'heredocs',
    'ENV v=val\nCOPY <<one <<"two" /d/\n$v \\$v\none\n$v\ntwo',
    `cat /d/one /d/two; ${stat('/d/one')}`,
    'val $v\n$v\n/d/one 644 0:0',
  ],
  [
    'a heredoc to a file',
    'COPY --chown=1:2 --chmod=755 <<-EOF /d/f\n\t\ttext\n\tEOF',
    `cat /d/f; ${stat('/d/f')}`,
    'text\n/d/f 755 1:2',
  ],
  ['a copy over a whiteout', 'RUN rm -r /var/www\nCOPY a.txt /var/www/', 'ls /var/www', 'a.txt'],
  ['a stage’s file that has no layer of its own', 'FROM scratch AS empty\nFROM busybox\nCOPY --from=empty / /e/', 'ls -A /e', ''],
];

const archives: readonly Row[] = [
  [
    'ADD extracts a tar, with its owners',
    'ADD some.tar /d',
    stat('/d /d/sub /d/sub/f'),
    '/d 755 0:0\n/d/sub 750 9:8\n/d/sub/f 600 9:8',
  ],
  ['and whatever it is called', 'ADD gzipped /d/', 'ls /d/sub', 'f'],
  ['--chown is for all in it', 'ADD --chown=3:4 some.tar /d', stat('/d /d/sub/f'), '/d 755 3:4\n/d/sub/f 600 3:4'],
  [
    'links on the way of an archive stay in its destination',
    'RUN mkdir /d && ln -s /tmp /d/sub && ln -s ../../x /d/up\nADD passing.tar /d',
    'cd /d; find . -type f | sort; ls -A /tmp; test -e /x || readlink sub',
    './tmp/f\n./x/f\n/tmp',
  ],
  ['--chmod is for none of it', 'ADD --chmod=700 some.tar /d', stat('/d /d/sub/f'), '/d 755 0:0\n/d/sub/f 600 9:8'],
  ['--unpack=false leaves it', 'ADD --unpack=false some.tar /d/', 'ls /d', 'some.tar'],
  ['what is no tar is a file', 'ADD text.gz a.txt /d/', 'ls /d', 'a.txt\ntext.gz'],
  ['COPY leaves it', 'COPY some.tar /d/', 'ls /d', 'some.tar'],
];

const runs: readonly Row[] = [
  ['a heredoc has no set -e', 'RUN <<EOF\nfalse\necho $((1+1)) > /f\nEOF', 'cat /f', '2'],
  [
    'a heredoc with a shebang is a script',
    'ENV v=1\nRUN <<EOF\n#!/bin/sh -e\necho "$0 $v" > /f\nEOF',
    'cat /f; ls /dev/pipes 2>/dev/null || true',
    '/dev/pipes/EOF 1',
  ],
  ['a heredoc is the input of a command', 'RUN <<EOF sh > /f\necho $v\nEOF', 'cat /f', ''],
  ['several heredocs', 'RUN cat <<A > /f && cat <<B >> /f\na\nA\nb\nB', 'cat /f', 'a\nb'],
  ['only tabs are stripped, and a terminator is alone', 'RUN <<-EOF cat > /f\n\t x\nEOF \n\tEOF', 'cat -A /f', ' x$\nEOF $'],
  [
    'a bind mount shows the context, read-only',
    'RUN --mount=target=/m cp /m/a.txt /f; touch /m/new 2>/dev/null || echo refused >> /f',
    'cat /f',
    'a\nrefused',
  ],
  [
    'a bind mount of one file',
    'RUN --mount=source=tree/sub/f,target=/etc/m cat /etc/m > /f',
    'cat /f; ls /etc/m 2>/dev/null',
    'f',
  ],
  ['a bind mount through a link of the context', 'RUN --mount=source=tolink,target=/m ls /m > /f', 'cat /f', 'f'],
  ['a bind mount below WORKDIR', 'WORKDIR /w\nRUN --mount=source=a.txt,target=m cat /w/m > /f', 'cat /f; ls /w', 'a'],
  [
    'what is written to a bind mount is lost',
    'RUN --mount=target=/m,rw echo new > /m/a.txt && cat /m/a.txt > /f\nRUN --mount=target=/m cat /m/a.txt >> /f',
    'cat /f',
    'new\na',
  ],
  [
    'a bind mount from a stage, through its links',
    'FROM busybox AS up\nRUN mkdir /real && echo x > /real/f && ln -s /real /link\nFROM busybox\nRUN --mount=from=up,source=/link,target=/m cat /m/f > /f',
    'cat /f',
    'x',
  ],
  [
    'a link of a stage does not lead out of it',
    'FROM busybox AS up\nRUN rm -r /home && ln -s / /home\nFROM busybox\nRUN --mount=from=up,source=/home,target=/m ls /m > /f',
    'cat /f | tr "\\n" " "',
    'bin etc home root tmp usr var '.trimEnd(),
  ],
  ['a bind mount from nothing is empty', 'RUN --mount=from=scratch,target=/m,rw ls -A /m > /f && touch /m/x', 'cat /f', ''],
  [
    'bind mounts of several kinds',
    'FROM scratch AS none\nFROM busybox AS up\nFROM busybox\nRUN --mount=from=none,target=/a --mount=from=up,target=/b --mount=source=tree,target=/c ls /a /b/etc/passwd /c > /f',
    'cat /f',
    '/b/etc/passwd\n\n/a:\n\n/c:\nempty\nsub',
  ],
  [
    'mounts in mounts, in whatever order',
    'RUN --mount=source=a.txt,target=/m/in/f --mount=type=tmpfs,target=/m cat /m/in/f > /f',
    'cat /f; ls -d /m 2>/dev/null',
    'a',
  ],
  [
    'a mount point goes, and its parents',
    'RUN --mount=type=tmpfs,target=/x/y/z --mount=type=cache,target=/x/c --mount=target=/bin/sub touch /x/y/z/f',
    'ls -d /x /bin/sub 2>/dev/null',
    '',
  ],
  ['what stands beside a mount point stays', 'RUN --mount=type=tmpfs,target=/x/y touch /x/f', 'ls /x', 'f'],
  [
    'a directory that a mount hid is there again',
    'RUN --mount=type=tmpfs,target=/var/www touch /var/www/f',
    'ls -A /var/www',
    '',
  ],
  [
    'the directories of mount points keep their times',
    'RUN mkdir -p /t/d && touch -d @1000000000 /t/d /t\nRUN --mount=type=tmpfs,target=/t/d/m true',
    'stat -c %Y /t/d /t',
    '1000000000\n1000000000',
  ],
  [
    'a cache is kept from RUN to RUN',
    'RUN --mount=type=cache,id=k,target=/c echo x > /c/f\nRUN --mount=type=cache,id=k,target=/other cat /other/f > /f',
    'cat /f; ls -d /c 2>/dev/null',
    'x',
  ],
  [
    'a cache is named by its target',
    'RUN --mount=type=cache,target=/named/ echo x > /named/f\nRUN --mount=type=cache,target=/named cat /named/f > /f',
    'cat /f',
    'x',
  ],
  [
    'caches of other owners and modes are others',
    'RUN --mount=type=cache,id=o,target=/c touch /c/f\nRUN --mount=type=cache,id=o,uid=3,gid=4,mode=0700,target=/c stat -c "%a %u:%g" /c > /f; ls /c >> /f',
    'cat /f',
    '700 3:4',
  ],
  [
    'a cache that begins with a stage’s files',
    'FROM busybox AS up\nRUN mkdir /seed && echo x > /seed/f && chown 5:6 /seed/f\nFROM busybox\nRUN --mount=type=cache,from=up,source=/seed,target=/c echo y >> /c/f\nRUN --mount=type=cache,from=up,source=/seed,target=/c cat /c/f > /f && stat -c %u:%g /c/f >> /f',
    'cat /f',
    'x\ny\n5:6',
  ],
  [
    'a cache that begins with files of the context',
    'RUN --mount=type=cache,from=tree-of-context,source=/sub,target=/c ls /c > /f',
    'cat /f',
    'f',
  ],
  [
    'a cache may be read-only',
    'RUN --mount=type=cache,ro,target=/c touch /c/f 2>/dev/null || echo refused > /f',
    'cat /f',
    'refused',
  ],
  [
    'a tmpfs has the size that is asked for',
    'RUN --mount=type=tmpfs,target=/m,size=1m df -k /m | tail -n 1 | tr -s " " | cut -d " " -f 2 > /f',
    'cat /f',
    '1024',
  ],
  [
    'a secret is a file of root',
    'RUN --mount=type=secret,id=s cat /run/secrets/s > /f && stat -c "%a %u:%g" /run/secrets/s >> /f',
    'cat /f; ls -d /run 2>/dev/null',
    'hush400 0:0',
  ],
  [
    'a secret has the target, mode and owner asked for',
    'RUN --mount=type=secret,id=s,target=/root/.s,mode=0440,uid=1,gid=2 stat -c "%a %u:%g" /root/.s > /f',
    'cat /f; ls -A /root',
    '440 1:2',
  ],
  [
    'a secret is a variable',
    'RUN --mount=type=secret,id=s,env=S echo "$S" > /f; ls /run/secrets 2>/dev/null || true',
    `cat /f; echo \${S-unset}`,
    'hush\nunset',
  ],
  [
    'a secret that is not given is no file',
    'RUN --mount=type=secret,id=other ls /run/secrets/other 2>/dev/null || echo none > /f',
    'cat /f',
    'none',
  ],
  [
    'hosts and resolv.conf are not kept',
    'FROM busybox AS edits\nRUN echo x >> /etc/hosts && echo x >> /etc/resolv.conf\nFROM busybox\nCOPY --from=edits /etc /e',
    'ls /e',
    'group\npasswd',
  ],
  [
    'no network but the loopback',
    'RUN --network=none ls /sys/class/net > /f && ping -c 1 127.0.0.1 > /dev/null && echo lo >> /f',
    'cat /f',
    'lo\nlo',
  ],
  ['the host name', '', 'hostname', 'buildkitsandbox'],
  [
    'a RUN in an empty image',
    'FROM scratch AS small\nCOPY --from=busybox /bin/busybox /bin/sh\nRUN echo x > /f\nFROM busybox\nCOPY --from=small / /s',
    'find /s -type f | sort; ls /s',
    '/s/bin/sh\n/s/f\nbin\nf',
  ],
];

const users: readonly Row[] = [
  [
    'a user’s groups',
    'RUN echo "users2:x:200:www-data" >> /etc/group\nUSER www-data',
    'id',
    'uid=33(www-data) gid=33(www-data) groups=33(www-data),200(users2)',
  ],
  [
    'a group that is asked for is the only one',
    'RUN echo "users2:x:200:www-data" >> /etc/group\nUSER www-data:users',
    'id',
    'uid=33(www-data) gid=100(users) groups=100(users)',
  ],
  ['a number in passwd has its group', 'USER 33', 'id -u; id -g', '33\n33'],
  ['a number that nobody knows has root’s', 'USER 4711', 'id -u; id -g', '4711\n0'],
  ['numbers need no files', 'RUN rm /etc/passwd /etc/group\nUSER 5:6', 'id -u; id -g', '5\n6'],
  ['HOME is the user’s', 'USER www-data', 'echo $HOME', '/var/www'],
  [
    'WORKDIR belongs to the user, and so do new parents',
    'USER www-data:users\nWORKDIR /a/b',
    stat('/a /a/b'),
    '/a 755 33:100\n/a/b 755 33:100',
  ],
  ['WORKDIR of a number', 'USER 1234\nWORKDIR /a', stat('/a'), '/a 755 1234:1234'],
  ['WORKDIR leaves a directory as it is', 'USER 33\nWORKDIR /root', stat('/root'), '/root 700 0:0'],
  ['WORKDIRs follow each other', 'ENV d=x\nWORKDIR /a\nWORKDIR b/$d/..\nWORKDIR ./c/', 'pwd', '/a/b/c'],
  ['WORKDIR follows links', 'RUN mkdir /real && ln -s /real /link\nWORKDIR /link/sub', 'pwd; ls /real', '/real/sub\nsub'],
  ['WORKDIR of a user that comes later', 'USER later\nWORKDIR /a\nUSER root', stat('/a'), '/a 755 0:0'],
  ['ONBUILD of a stage, once', 'FROM busybox AS up\nONBUILD RUN echo x >> /f\nFROM up AS child\nFROM child', 'cat /f', 'x'],
];

async function languageContext(): Promise<string> {
  const root = makeContext({
    'a.txt': 'a\n',
    'b.txt': 'b\n',
    'tree/sub/f': { text: 'f\n', mode: 0o640 },
    'x/1/one': '1\n',
    'x/2/two': '2\n',
    tolink: { link: 'tree/sub' },
    'links/dangling': { link: 'nowhere' },
    setuid: 's\n',
    'hard/one': 'h\n',
  });
  const at = (name: string) => path.join(root, name);
  chmodSync(at('setuid'), 0o4755);
  chmodSync(at('tree/sub'), 0o750);
  mkdirSync(at('tree/empty'));
  linkSync(at('hard/one'), at('hard/two'));
  const tar = await tarOf([
    { name: 'sub', type: 'directory', mode: 0o750, uid: 9, gid: 8 },
    { name: 'sub/f', content: 'f\n', mode: 0o600, uid: 9, gid: 8 },
  ]);
  writeFileSync(at('some.tar'), tar);
  writeFileSync(
    at('passing.tar'),
    await tarOf([
      { name: 'sub/f', content: 'f\n' },
      { name: 'up/f', content: 'f\n' },
    ]),
  );
  writeFileSync(at('gzipped'), gzipSync(tar));
  writeFileSync(at('text.gz'), gzipSync('text'));
  writeFileSync(at('broken.tar'), tar);
  truncateSync(at('broken.tar'), 1100);
  symlinkSync('/etc', at('links/absolute'));
  return root;
}

/** Instructions on busybox, and what the build's failure says. */
const failures: readonly (readonly [title: string, instructions: string, code: string, says: string])[] = [
  ['a source that is not there', 'COPY a.txt missing /d/', 'context/not-found', '"missing" not found in the build context'],
  [
    'a wildcard below what is not there',
    'COPY missing/*.txt /d/',
    'context/not-found',
    '"missing" not found in the build context',
  ],
  ['a link that leads nowhere', 'COPY links/d* /d/', 'context/not-found', '"links/dangling" not found in the build context'],
  [
    'a base of --parents that leads nowhere',
    'COPY --parents links/d*/./f /d/',
    'context/not-found',
    '"links/dangling" not found in the build context',
  ],
  ['a heredoc that is no file name', 'COPY <<a/b /d/\nx\na/b', 'dockerfile/heredoc', 'a/b cannot be one'],
  [
    '--chown by a name with --link',
    'COPY --link --chown=www-data a.txt /f',
    'dockerfile/owner',
    'no passwd or group file to look www-data up in',
  ],
  ['--chown by a name with nothing below', 'FROM scratch\nCOPY --chown=0:who a.txt /f', 'dockerfile/owner', 'look who up in'],
  ['WORKDIR of a name with nothing below', 'FROM scratch\nUSER who\nWORKDIR /w', 'dockerfile/owner', 'look who up in'],
  ['a duration beyond all', 'HEALTHCHECK --interval=9999999h CMD x', 'dockerfile/duration', 'invalid duration "9999999h"'],
  ['a volume without a name', 'VOLUME $unset', 'dockerfile/arguments', 'VOLUME specified can not be an empty string'],
  ['a directory to a file', 'COPY tree /etc/passwd', 'run/copy', 'cannot copy to non-directory: /etc/passwd'],
  ['a file to a directory in a tree', 'RUN mkdir /sub /sub/f\nCOPY tree /', 'run/copy', 'cannot replace the directory /sub/f'],
  ['a directory to a link in a tree', 'RUN ln -s /etc /sub\nCOPY tree /', 'run/copy', 'onto the symlink /sub'],
  [
    'an archive that is cut off',
    'ADD broken.tar /d',
    'context/bad-archive',
    'cannot extract broken.tar: the archive ends in the middle of a member',
  ],
  [
    'a mount’s source that is not there',
    'RUN --mount=source=missing,target=/m true',
    'context/not-found',
    '"/missing" not found',
  ],
  ['a secret that must be given', 'RUN --mount=type=secret,id=x,required true', 'run/secret-missing', 'secret x is required'],
  [
    'a cache that begins with a file',
    'RUN --mount=type=cache,from=busybox,source=/bin/sh,target=/c true',
    'run/mount',
    '/bin/sh',
  ],
  ['a RUN of an unknown user', 'USER who\nRUN true', 'run/unknown-user', 'unable to find user who'],
  ['a command’s exit code', 'RUN exit 42', 'run/exit', 'exit code: 42'],
];

const groups = { variables, copies, archives, runs, users };
const rows = Object.entries(groups).flatMap(([group, all]) => all.map((row) => ({ group, row })));

/** The row's last stage gets a name, and a probe that is cached for no other; what it prints is in the events under that name. */
function stageOf([, instructions, probe]: Row, number: number): string {
  const text = instructions.startsWith('FROM') ? instructions : `FROM busybox\n${instructions}`;
  const last = text.lastIndexOf('FROM ');
  const end = text.indexOf('\n', last);
  const [before, from, rest] = [text.slice(0, last), text.slice(last, end < 0 ? undefined : end), end < 0 ? '' : text.slice(end)];
  // Names of stages are the row's own.
  const renamed = `${before}${from} AS row${number}${rest}`.replace(
    /(AS |--from=|,from=|=from=|FROM )(up|UP|Up|args|none|empty|edits|small|child)\b/g,
    `$1$2-${number}`,
  );
  return `${renamed}\nRUN ["/bin/sh", "-c", ${JSON.stringify(`: ${number}; ${probe}; true`)}]`;
}

describe('the language', () => {
  let built: Built;
  beforeAll(async () => {
    const context = await languageContext();
    writeFileSync(path.join(context, 'secret'), 'hush\n');
    const stages = rows.map(({ row }, number) => stageOf(row, number));
    const result = ['FROM scratch', ...rows.map((_, number) => `COPY --from=row${number} /bin/sh /${number}`)];
    const tree = 'FROM scratch AS tree-of-context\nCOPY tree /';
    const dockerfile = path.join(makeContext({ Dockerfile: [tree, ...stages, ...result].join('\n') }), 'Dockerfile');
    const secret = path.join(makeContext({ secret: 'hush' }), 'secret');
    built = await build(
      ['-f', dockerfile, '--build-arg', 'given=from the command line', '--secret', `id=s,src=${secret}`, context],
      { store: freshStore() },
    );
    expect(
      built.code,
      built.stderr
        .split('\n')
        .filter((line) => /"(?:failed|error)"/.test(line))
        .join('\n'),
    ).toBe(0);
  });

  it.each(rows.map(({ group, row }, number) => ({ group, title: row[0], expected: row[3], number })))('$group: $title', ({
    expected,
    number,
  }) => {
    expect(printed(built, `row${number}`)).toBe(expected);
  });
});

describe('a build fails on', () => {
  let context: string;
  let store: string;
  beforeAll(async () => {
    context = await languageContext();
    store = freshStore();
  });

  it.each(failures)('%s', async (_, instructions, code, says) => {
    writeFileSync(path.join(context, 'Dockerfile'), `FROM busybox\n${instructions}`);
    const { events } = await build([context], { store });
    const failure = events.find((event) => event.type === 'error')?.error;
    expect(failure).toMatchObject({ code, message: expect.stringContaining(says) });
  });
});

describe('a bind mount', () => {
  it.each([
    ['a stage', 'from=up,source=/all/used,'],
    ['the context', 'source=used,'],
  ])('from %s counts by the part that it shows', async (_, source) => {
    const run = `RUN --mount=${source}target=/m cat /m/f`;
    const context = makeContext({
      Dockerfile: `FROM busybox AS up\nCOPY . /all/\nFROM busybox\n${run}\nCOPY --from=up /bin/sh /sh`,
      'used/f': '1\n',
      other: '1\n',
    });
    const store = freshStore();
    await build([context], { store });
    writeFileSync(path.join(context, 'other'), '2\n');
    expect((await build([context], { store })).ran).toEqual(['COPY . /all/']);
    writeFileSync(path.join(context, 'used/f'), '2\n');
    expect((await build([context], { store })).ran.toSorted()).toEqual(['COPY . /all/', run]);
  });
});

describe('the config', () => {
  it('has what the stages of the target say, and a history with an entry for each instruction', async () => {
    const base =
      'FROM busybox AS base\nCMD ["inherited"]\nLABEL from=base\nEXPOSE 80\nFROM busybox AS other\nLABEL not=here\nRUN touch /f';
    const own =
      'FROM base\nARG v=1\nCOPY --from=other /f /f\nWORKDIR /w/\nRUN echo $v > g\nENTRYPOINT ["run"]\nEXPOSE 8000-8001/UDP\nUSER 5';
    const context = makeContext({
      Dockerfile: `${base}\n${own}\nSTOPSIGNAL INT\nVOLUME /v w\nHEALTHCHECK --retries=2 CMD check`,
    });
    const store = freshStore();
    const { code, stderr } = await build(['-t', 'config', '--label', 'from=command', context], { store });
    expect(code, stderr).toBe(0);
    const layout = path.join(makeContext({}), 'layout.tar');
    await tbuildOk(['save', '-o', layout, 'config'], { store });
    const { config, history, rootfs } = await readConfig(layout);
    expect(config).toEqual({
      ArgsEscaped: true,
      Entrypoint: ['run'],
      Env: [expect.stringMatching(/^PATH=/)],
      ExposedPorts: { '80/tcp': {}, '8000/udp': {}, '8001/udp': {} },
      Healthcheck: { Test: ['CMD-SHELL', 'check'], Retries: 2 },
      Labels: { from: 'command' },
      StopSignal: 'INT',
      User: '5',
      Volumes: { '/v': {}, w: {} },
      WorkingDir: '/w/',
    });
    expect(history.slice(1).map(({ created_by, empty_layer }) => `${empty_layer ? '-' : '+'} ${created_by}`)).toEqual([
      '- CMD ["inherited"]',
      '- LABEL from=base',
      '- EXPOSE [80/tcp]',
      '- ARG v=1',
      '+ COPY /f /f # buildkit',
      '+ WORKDIR /w/',
      '+ RUN |1 v=1 /bin/sh -c echo $v > g # buildkit',
      '- ENTRYPOINT ["run"]',
      '- EXPOSE [8000/udp 8001/udp]',
      '- USER 5',
      '- STOPSIGNAL INT',
      '- VOLUME [/v w]',
      '- HEALTHCHECK &{["CMD-SHELL" "check"] "0s" "0s" "0s" "0s" \'\\x02\'}',
    ]);
    expect(rootfs.diff_ids).toHaveLength(history.filter(({ empty_layer }) => !empty_layer).length);
  });
});

/** The config of the one image in an archive. */
async function readConfig(archive: string): Promise<Required<ImageConfig>> {
  const read = (name: string) => JSON.parse(execFileSync('tar', ['-xOf', archive, name], { encoding: 'utf8' }));
  const [{ Config }] = read('manifest.json');
  return read(Config);
}

/** What the last RUN of a stage printed, without the last line's end. */
function printed({ events }: Built, stage: string): string {
  const plan = events.find((event) => event.type === 'plan');
  const step = plan?.steps.findLast((one) => one.stage === stage)?.step;
  const texts = events.flatMap((event) => (event.type === 'output' && event.step === step ? [event.text] : []));
  return texts.join('').trimEnd();
}

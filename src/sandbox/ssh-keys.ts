// An SSH agent of our own, for private keys in files: it lists them and signs with them. No ssh program is needed for it, and no other
// process ever has the keys. Keys are those that ssh-keygen writes: Ed25519, RSA and ECDSA, as OpenSSH's or as PEM files.

import { createPrivateKey, type JsonWebKey, type KeyObject, sign } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { TbuildError } from '../base/errors.ts';
import { type AgentConnection, FAILURE, LIST, LISTED, SIGN, SIGNED } from './ssh-agent.ts';
import { mpint, string, uint32, WireReader } from './ssh-wire.ts';

interface Identity {
  /** The public key as the protocol has it. */
  readonly blob: Buffer;
  readonly comment: string;
  readonly sign: (data: Buffer, flags: number) => Buffer;
}

/** As BuildKit reads them (session/sshforward/sshprovider). */
const MAX_FILE_BYTES = 100 * 1024;

/** Throws `usage/ssh` for a file that is no key, or one behind a passphrase. */
export function readKeys(files: readonly string[]): AgentConnection {
  const identities = files.map(readKey);
  return {
    answer: async (request) => answer(identities, request),
    close: () => {},
  };
}

function answer(identities: readonly Identity[], request: Buffer): Buffer {
  if (request[0] === LIST) {
    const keys = identities.map(({ blob, comment }) => Buffer.concat([string(blob), string(comment)]));
    return Buffer.concat([Buffer.of(LISTED), uint32(keys.length), ...keys]);
  }
  if (request[0] !== SIGN) return Buffer.of(FAILURE);
  try {
    const reader = new WireReader(request.subarray(1));
    const [blob, data, flags] = [reader.bytes(), reader.bytes(), reader.uint32()];
    const identity = identities.find((one) => one.blob.equals(blob));
    return identity ? Buffer.concat([Buffer.of(SIGNED), string(identity.sign(data, flags))]) : Buffer.of(FAILURE);
  } catch {
    return Buffer.of(FAILURE);
  }
}

function readKey(file: string): Identity {
  const text = readStart(file);
  try {
    const body = /-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]*?)-----END OPENSSH PRIVATE KEY-----/.exec(text)?.[1];
    const { key, comment } =
      body === undefined ? { key: createPrivateKey(text), comment: '' } : readOpenSsh(Buffer.from(body, 'base64'));
    return identityOf(key, comment);
  } catch (cause) {
    const isLocked = cause instanceof LockedKey || /^-----BEGIN ENCRYPTED|^Proc-Type: 4,ENCRYPTED/m.test(text);
    throw isLocked
      ? new TbuildError('usage/ssh', `the SSH key ${file} is protected by a passphrase`, {
          hint: `add it to an agent (ssh-add ${file}), and leave the file out of --ssh`,
        })
      : new TbuildError('usage/ssh', `${file} is neither the socket of an SSH agent nor a private key that tbuild can read`, {
          hint: 'Ed25519, RSA and ECDSA keys are read, as ssh-keygen writes them',
        });
  }
}

function readStart(file: string): string {
  try {
    const fd = openSync(file, 'r');
    try {
      const bytes = Buffer.alloc(MAX_FILE_BYTES);
      return bytes.toString('latin1', 0, readSync(fd, bytes, 0, MAX_FILE_BYTES, 0));
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    throw new TbuildError('usage/ssh', `cannot read the SSH key ${file}: ${(cause as NodeJS.ErrnoException).code}`);
  }
}

class LockedKey extends Error {}

/** OpenSSH: PROTOCOL.key. */
function readOpenSsh(bytes: Buffer): { key: KeyObject; comment: string } {
  const magic = Buffer.from('openssh-key-v1\0');
  if (!bytes.subarray(0, magic.length).equals(magic)) throw new Error('no openssh-key-v1');
  const outer = new WireReader(bytes.subarray(magic.length));
  if (outer.text() !== 'none') throw new LockedKey();
  outer.bytes(); // the key derivation's name, and its options
  outer.bytes();
  if (outer.uint32() !== 1) throw new Error('more than one key');
  outer.bytes(); // the public key, which is in the private one too
  const inner = new WireReader(outer.bytes());
  inner.uint32(); // two equal numbers, which show that a passphrase was right
  inner.uint32();
  const jwk = readPrivate(inner.text(), inner);
  return { key: createPrivateKey({ key: jwk, format: 'jwk' }), comment: inner.text() };
}

const base64 = (bytes: Buffer): string => bytes.toString('base64url');

function readPrivate(type: string, reader: WireReader): JsonWebKey {
  if (type === 'ssh-ed25519') {
    const x = reader.bytes();
    return { kty: 'OKP', crv: 'Ed25519', x: base64(x), d: base64(reader.bytes().subarray(0, 32)) };
  }
  const curve = curves.find(({ name }) => type === `ecdsa-sha2-${name}`);
  if (curve) {
    reader.bytes(); // the curve's name again
    const point = reader.bytes();
    const { sizeBytes } = curve;
    const [x, y] = [point.subarray(1, 1 + sizeBytes), point.subarray(1 + sizeBytes)];
    return { kty: 'EC', crv: curve.crv, x: base64(x), y: base64(y), d: base64(padded(reader.bytes(), sizeBytes)) };
  }
  if (type !== 'ssh-rsa') throw new Error(`a key of type ${type}`);
  const [n, e, d, qi, p, q] = [0, 1, 2, 3, 4, 5].map(() => unsigned(reader.bytes())) as [
    Buffer,
    Buffer,
    Buffer,
    Buffer,
    Buffer,
    Buffer,
  ];
  const lessOne = (prime: Buffer) => toBytes(toNumber(d) % (toNumber(prime) - 1n), prime.length);
  const numbers = { n, e, d, p, q, dp: lessOne(p), dq: lessOne(q), qi };
  return { kty: 'RSA', ...Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, base64(value)])) };
}

const toNumber = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString('hex') || '0'}`);
const toBytes = (value: bigint, sizeBytes: number): Buffer => Buffer.from(value.toString(16).padStart(sizeBytes * 2, '0'), 'hex');
const unsigned = (bytes: Buffer): Buffer => (bytes[0] === 0 ? bytes.subarray(1) : bytes);
const padded = (bytes: Buffer, sizeBytes: number): Buffer => toBytes(toNumber(bytes), sizeBytes);

const curves = [
  { name: 'nistp256', crv: 'P-256', sizeBytes: 32, hash: 'sha256' },
  { name: 'nistp384', crv: 'P-384', sizeBytes: 48, hash: 'sha384' },
  { name: 'nistp521', crv: 'P-521', sizeBytes: 66, hash: 'sha512' },
] as const;

/** Flags of a request for an RSA signature: which hash (draft-miller-ssh-agent §4.5.1). */
const RSA_SHA2_256 = 2;
const RSA_SHA2_512 = 4;

function identityOf(key: KeyObject, comment: string): Identity {
  const jwk = key.export({ format: 'jwk' });
  const part = (name: 'x' | 'y' | 'e' | 'n') => Buffer.from(jwk[name] as string, 'base64url');
  if (jwk.crv === 'Ed25519') {
    const type = string('ssh-ed25519');
    const blob = Buffer.concat([type, string(part('x'))]);
    return { blob, comment, sign: (data) => Buffer.concat([type, string(sign(null, data, key))]) };
  }
  const curve = curves.find(({ crv }) => crv === jwk.crv);
  if (curve) {
    const type = string(`ecdsa-sha2-${curve.name}`);
    const blob = Buffer.concat([type, string(curve.name), string(Buffer.concat([Buffer.of(4), part('x'), part('y')]))]);
    const signed = (data: Buffer) => {
      const both = sign(curve.hash, data, { key, dsaEncoding: 'ieee-p1363' });
      const [r, s] = [both.subarray(0, curve.sizeBytes), both.subarray(curve.sizeBytes)];
      return Buffer.concat([type, string(Buffer.concat([mpint(r), mpint(s)]))]);
    };
    return { blob, comment, sign: signed };
  }
  if (jwk.kty !== 'RSA') throw new Error(`a key of type ${jwk.kty}`);
  const blob = Buffer.concat([string('ssh-rsa'), mpint(part('e')), mpint(part('n'))]);
  const signed = (data: Buffer, flags: number) => {
    const [type, hash] =
      flags & RSA_SHA2_512 ? ['rsa-sha2-512', 'sha512'] : flags & RSA_SHA2_256 ? ['rsa-sha2-256', 'sha256'] : ['ssh-rsa', 'sha1'];
    return Buffer.concat([string(type as string), string(sign(hash as string, data, key))]);
  };
  return { blob, comment, sign: signed };
}

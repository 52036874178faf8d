// What `RUN --mount=type=ssh` gives a container: a socket of ours that stands for an SSH agent. It lists keys and signs; whatever else a
// client asks for (adding and removing keys, locking, extensions) is answered with a failure and reaches no agent, as in BuildKit
// (session/sshforward/sshprovider). Protocol: draft-miller-ssh-agent.

import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { join } from 'node:path';

export const FAILURE = 5;
export const LIST = 11;
export const LISTED = 12;
export const SIGN = 13;
export const SIGNED = 14;

/** As OpenSSH's agent has it. */
const MAX_MESSAGE_BYTES = 256 * 1024;

/** Answers one request after the other; messages are without their length. */
export interface AgentConnection {
  answer(request: Buffer): Promise<Buffer>;
  close(): void;
}

export interface SshAgent {
  connect(): Promise<AgentConnection>;
}

/** An agent that listens on a socket of this machine. */
export function agentAt(path: string): SshAgent {
  return {
    connect: async () => {
      const socket = createConnection(path);
      await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
      socket.on('error', () => {}); // Its end is what the next read sees.
      const answers = messages(socket);
      return {
        answer: async (request) => {
          writeMessage(socket, request);
          const { value, done } = await answers.next();
          return done ? Buffer.of(FAILURE) : value;
        },
        close: () => socket.destroy(),
      };
    },
  };
}

export interface ServedAgent {
  /** The socket's path, which may be longer than an address can be. */
  readonly path: string;
  /** The same socket for this user's other processes. */
  readonly address: string;
  close(): Promise<void>;
}

/** Makes `folder`, which nobody else may enter: whoever is not in the container does not reach the socket, whatever its mode. */
export async function serveAgent(
  agent: SshAgent,
  folder: string,
  mode: number,
  setOwner?: (path: string) => Promise<unknown>,
): Promise<ServedAgent> {
  mkdirSync(folder, { mode: 0o700 });
  const path = join(folder, 'agent');
  const clients = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    clients.add(socket);
    socket.on('error', () => {}).once('close', () => clients.delete(socket));
    serve(agent, socket).catch(() => socket.destroy());
  });
  // By a descriptor: a socket's address holds some hundred bytes, and the path may be longer.
  const fd = openSync(folder, 'r');
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(`/proc/self/fd/${fd}/agent`, resolve));
  chmodSync(path, mode & 0o777);
  await setOwner?.(path);
  const close = async () => {
    for (const client of clients) client.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    closeSync(fd);
  };
  return { path, address: `/proc/${process.pid}/fd/${fd}/agent`, close };
}

async function serve(agent: SshAgent, socket: Socket): Promise<void> {
  // One that is gone fails every request: a client expects an answer.
  const connection = await agent.connect().catch(() => undefined);
  socket.once('close', () => connection?.close());
  try {
    for await (const request of messages(socket)) {
      const isAllowed = request[0] === LIST || request[0] === SIGN;
      writeMessage(socket, connection && isAllowed ? await connection.answer(request) : Buffer.of(FAILURE));
    }
  } finally {
    connection?.close();
    socket.end();
  }
}

/** Reads no further than to the end of the message that is being asked for; throws at one that is too long. */
async function* messages(socket: Socket): AsyncGenerator<Buffer, void> {
  let bytes = Buffer.alloc(0);
  for await (const chunk of socket) {
    bytes = Buffer.concat([bytes, chunk as Buffer]);
    while (bytes.length >= 4) {
      const length = bytes.readUInt32BE(0);
      if (length === 0 || length > MAX_MESSAGE_BYTES) throw new RangeError(`a message of ${length} bytes`);
      if (bytes.length < 4 + length) break;
      yield bytes.subarray(4, 4 + length);
      bytes = bytes.subarray(4 + length);
    }
  }
}

function writeMessage(socket: Socket, message: Buffer): void {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(message.length);
  socket.write(Buffer.concat([length, message]));
}

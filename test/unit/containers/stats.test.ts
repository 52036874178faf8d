import { availableParallelism, totalmem } from 'node:os';
import { describe, expect, it } from 'vitest';
import { sampleOf, usageOf } from '../../../src/containers/stats.ts';

const links = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:  999       1    0    0    0     0          0         0      999       1    0    0    0     0       0          0
  eth0: 1234       9    0    0    0     0          0         0     5678       9    0    0    0     0       0          0
`;

const counted = (totalNs: number) => ({
  cpu: { usage: { total: totalNs } },
  memory: { usage: { usage: 1000, limit: 2 ** 63 }, raw: { total_inactive_file: 200, inactive_file: 100 } },
  pids: { current: 3 },
  blkio: {
    ioServiceBytesRecursive: [
      { op: 'Read', value: 10 },
      { op: 'Write', value: 20 },
      { op: 'Total', value: 30 },
    ],
  },
});

describe('usage', () => {
  it('is what was counted between two looks', () => {
    const usage = usageOf(sampleOf(counted(0), links, 0n), sampleOf(counted(500_000_000), links, 1_000_000_000n));
    expect(usage).toEqual({
      cpuPercent: 50,
      memoryBytes: 800,
      memoryLimitBytes: totalmem(),
      receivedBytes: 1234,
      sentBytes: 5678,
      readBytes: 10,
      writtenBytes: 20,
      processes: 3,
    });
  });

  it('is none after one look, and never more than there are processors', () => {
    const [first, second] = [sampleOf(counted(0), '', 0n), sampleOf(counted(1e15), '', 1_000_000n)];
    expect(usageOf(first, first).cpuPercent).toBe(0);
    expect(usageOf(first, second).cpuPercent).toBe(availableParallelism() * 100);
  });

  it('is nothing of what is not counted', () => {
    const { usage } = sampleOf({}, '', 0n);
    expect(usage).toMatchObject({ memoryBytes: 0, receivedBytes: 0, readBytes: 0, processes: 0 });
  });
});

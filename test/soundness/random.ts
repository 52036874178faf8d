// Numbers that a seed gives, the same everywhere.

export interface Random {
  /** From 0 to below. */
  below(limit: number): number;
  pick<T>(from: readonly T[]): T;
  /** True in one of so many cases. */
  oneIn(count: number): boolean;
}

/** mulberry32 */
export function random(seed: number): Random {
  let state = seed >>> 0;
  const below = (limit: number): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
  return { below, pick: (from) => from[below(from.length)] as (typeof from)[number], oneIn: (count) => below(count) === 0 };
}

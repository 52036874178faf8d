// What a network is: a bridge with its subnets, names and options; and the three that there always are. Pure.

import { TbuildError } from '../../base/errors.ts';

export interface NetworkSubnet {
  readonly subnet: string;
  readonly gateway: string;
  /** Addresses are given out of it alone (--ip-range). */
  readonly range?: string;
  /** Nobody's, by the names that they were given (--aux-address). */
  readonly reserved?: Readonly<Record<string, string>>;
}

export interface Network {
  /** 64 hex digits. */
  readonly id: string;
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly created: number;
  readonly driver: 'bridge' | 'host' | 'null';
  /** The bridge's name on the host. */
  readonly interface: string;
  readonly subnets: readonly NetworkSubnet[];
  /** They were asked for: such a network alone takes wishes for addresses, and keeps its subnets. */
  readonly hasOwnSubnets: boolean;
  readonly internal: boolean;
  readonly ipv6: boolean;
  readonly attachable: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, string>>;
}

/** No names are resolved in it, as in docker's. */
export const DEFAULT_NETWORK = 'bridge';

export const PREDEFINED: Readonly<Record<string, Network['driver']>> = { bridge: 'bridge', host: 'host', none: 'null' };

export const isPredefined = ({ name }: Pick<Network, 'name'>): boolean => Object.hasOwn(PREDEFINED, name);

/**
 * What netavark and aardvark-dns call it: chains of rules are named after it on the whole machine, and another store has a network of the same name.
 * `nameOfEngine` is its name again.
 */
export const engineName = ({ name, id }: Pick<Network, 'name' | 'id'>): string => `${name}-${id.slice(0, 12)}`;

export const nameOfEngine = (engine: string): string => engine.replace(/-[0-9a-f]{12}$/, '');

/** It is a file's name too, and stands in rules' comments. */
export function checkNetworkName(name: string): void {
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,99}$/.test(name)) return;
  throw new TbuildError('network/bad-name', `${name} is an invalid network name`, {
    hint: 'letters, digits, _, . and -, the first a letter or a digit, a hundred at most',
  });
}

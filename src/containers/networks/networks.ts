// The networks of a store: rows of `networks`, the three predefined ones among them from the first look on. Makes nothing of them on the host: a bridge
// comes with its first container and goes with its last (netavark).

import { randomBytes } from 'node:crypto';
import { TbuildError } from '../../base/errors.ts';
import { recordEvent } from '../../base/event-log.ts';
import type { Store } from '../../base/store.ts';
import { hostRoutes } from './host-routes.ts';
import { meet, parseSubnet, type Subnet } from './ip.ts';
import { checkNetworkName, DEFAULT_NETWORK, isPredefined, type Network, PREDEFINED } from './network.ts';
import { type SubnetWishes, subnetsFor } from './subnets.ts';

export interface NetworkOptions extends SubnetWishes {
  readonly name: string;
  readonly internal: boolean;
  readonly attachable: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, string>>;
}

interface Row {
  readonly id: string;
  readonly name: string;
  readonly created: number;
  readonly spec: string;
}

const PLAIN: Omit<NetworkOptions, 'name'> = {
  subnets: [],
  gateways: [],
  ranges: [],
  reserved: {},
  ipv6: false,
  internal: false,
  attachable: false,
  labels: {},
  options: {},
};

export class Networks {
  readonly #store: Store;

  constructor({ store }: { readonly store: Store }) {
    this.#store = store;
  }

  /** By name. */
  list(): Network[] {
    this.#assurePredefined();
    return this.#rows();
  }

  #rows(): Network[] {
    return this.#store.db.all<Row>('SELECT id, name, created, spec FROM networks ORDER BY name').map(fromRow);
  }

  /** Docker's order: a whole ID, a name, the unique beginning of an ID. Throws `network/unknown`, `network/ambiguous`. */
  find(nameOrId: string): Network {
    const all = this.list();
    const exact = all.find(({ id }) => id === nameOrId) ?? all.find(({ name }) => name === nameOrId);
    if (exact) return exact;
    const started = nameOrId === '' ? [] : all.filter(({ id }) => id.startsWith(nameOrId));
    if (started.length > 1) {
      throw new TbuildError(
        'network/ambiguous',
        `network ${nameOrId} is ambiguous (${started.length} matches found on ID prefix)`,
      );
    }
    if (!started[0]) throw new TbuildError('network/unknown', `network ${nameOrId} not found`);
    return started[0];
  }

  /** Of a container's specification: a network may be made, or made again, before it starts. */
  nameOf(nameOrId: string): string {
    try {
      return this.find(nameOrId).name;
    } catch {
      return nameOrId;
    }
  }

  create(options: NetworkOptions): Network {
    const { name } = options;
    checkNetworkName(name);
    if (Object.hasOwn(PREDEFINED, name)) {
      throw new TbuildError('network/predefined', `operation is not permitted on predefined ${name} network`);
    }
    this.#assurePredefined();
    return this.#store.db.immediate(() => {
      if (this.#rows().some((network) => network.name === name)) {
        throw new TbuildError('network/exists', `network with name ${name} already exists`);
      }
      const network = this.#insert(options, 'bridge');
      this.#record('create', network);
      return network;
    });
  }

  #record(action: string, { id, name, driver }: Network): void {
    recordEvent(this.#store, { type: 'network', action, id, attributes: { name, type: driver } });
  }

  /** Whether somebody uses it is the caller's to see to. False: somebody else was faster. */
  remove(network: Network): boolean {
    if (isPredefined(network)) {
      throw new TbuildError('network/predefined', `${network.name} is a pre-defined network and cannot be removed`);
    }
    const isGone = this.#store.db.run('DELETE FROM networks WHERE id = ?', network.id) > 0;
    if (isGone) this.#record('destroy', network);
    return isGone;
  }

  /**
   * A network whose subnet nobody asked for gets another one where the host has come to reach something there since: a VPN, another store's bridge. Only
   * for one that no container is in. Inside a transaction.
   */
  withFreeSubnets(network: Network): Network {
    if (network.hasOwnSubnets || network.driver !== 'bridge') return network;
    const host = hostRoutes(new Set([network.interface]));
    const own = subnetsOf([network]);
    if (!own.some((subnet) => host.some((other) => meet(subnet, other)))) return network;
    const others = subnetsOf(this.#rows().filter(({ id }) => id !== network.id));
    const subnets = subnetsFor(network.id, { ...PLAIN, ipv6: network.ipv6 }, { networks: others, host });
    const moved = { ...network, subnets };
    this.#store.db.run('UPDATE networks SET spec = ? WHERE id = ?', specOf(moved), network.id);
    return moved;
  }

  #assurePredefined(): void {
    const has = () => this.#store.db.get('SELECT 1 FROM networks WHERE name = ?', DEFAULT_NETWORK) !== undefined;
    if (has()) return;
    this.#store.db.immediate(() => {
      if (has()) return;
      for (const [name, driver] of Object.entries(PREDEFINED)) this.#insert({ ...PLAIN, name }, driver);
    });
  }

  #insert(options: NetworkOptions, driver: Network['driver']): Network {
    const id = randomBytes(32).toString('hex');
    const { name, internal, ipv6, attachable, labels, options: given, subnets } = options;
    const taken = () => ({ networks: subnetsOf(this.#rows()), host: hostRoutes() });
    const network: Network = {
      id,
      name,
      created: Date.now(),
      driver,
      interface: driver === 'bridge' ? interfaceOf(id, given) : '',
      subnets: driver === 'bridge' ? subnetsFor(id, options, taken()) : [],
      hasOwnSubnets: subnets.length > 0,
      internal,
      ipv6,
      attachable,
      labels,
      options: given,
    };
    const sql = 'INSERT INTO networks (id, name, created, spec) VALUES (?, ?, ?, ?)';
    this.#store.db.run(sql, id, name, network.created, specOf(network));
    return network;
  }
}

/** The kernel's limit is 15 characters. */
function interfaceOf(id: string, options: Readonly<Record<string, string>>): string {
  const wished = options['com.docker.network.bridge.name'];
  if (wished === undefined) return `br-${id.slice(0, 12)}`;
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}$/.test(wished)) return wished;
  throw new TbuildError('network/bad-name', `${wished} is an invalid name of a bridge`, {
    hint: 'fifteen letters, digits, _, . and - at most',
  });
}

export function subnetsOf(networks: readonly Network[]): Subnet[] {
  return networks.flatMap(({ subnets }) => subnets.flatMap(({ subnet }) => parseSubnet(subnet) ?? []));
}

const specOf = ({ id: _id, name: _name, created: _created, ...spec }: Network): string => JSON.stringify(spec);

function fromRow({ id, name, created, spec }: Row): Network {
  return { ...(JSON.parse(spec) as Omit<Network, 'id' | 'name' | 'created'>), id, name, created };
}

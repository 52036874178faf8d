// Docker's groups of commands: `tbuild image ls` is `tbuild images`. Who calls them passes the table, which holds them too.

import type { Command, CommandEntry } from '../command.ts';
import { defineGroup, type GroupMember } from '../command-group.ts';

type Table = Readonly<Record<string, CommandEntry>>;
type Members = Readonly<Record<string, GroupMember>>;

export function containerGroup(table: Table): Command {
  const names =
    'attach commit cp create diff exec export kill logs pause port rename restart rm run start stats stop top unpause update wait';
  return defineGroup('container', 'Manage containers', {
    ...named(table, names.split(' ')),
    ...renamed(table, { ls: 'ps', list: 'ps', ps: 'ps', remove: 'rm' }),
    inspect: {
      summary: 'Display detailed information on one or more containers',
      load: async () => (await import('./inspect.ts')).inspectContainer,
    },
    prune: {
      summary: 'Remove all stopped containers',
      load: async () => (await import('./container-prune.ts')).containerPrune,
    },
  });
}

export function imageGroup(table: Table): Command {
  return defineGroup('image', 'Manage images', {
    ...named(table, 'build history import load pull push save tag'.split(' ')),
    ...renamed(table, { ls: 'images', list: 'images', rm: 'rmi', remove: 'rmi' }),
    inspect: {
      summary: 'Display detailed information on one or more images',
      load: async () => (await import('./inspect.ts')).inspectImage,
    },
    prune: { summary: 'Remove unused images', load: async () => (await import('./image-prune.ts')).imagePrune },
  });
}

export function builderGroup(table: Table): Command {
  return defineGroup('builder', 'Manage builds', named(table, ['build', 'du', 'prune']));
}

export function systemGroup(table: Table): Command {
  return defineGroup('system', 'Manage the store', {
    ...named(table, ['events', 'info']),
    boot: {
      summary: 'Start the containers that are to run whenever the machine does',
      load: async () => (await import('./system-boot.ts')).systemBoot,
    },
    df: { summary: 'Show how much room the store takes', load: async () => (await import('./system-df.ts')).systemDf },
    prune: { summary: 'Remove unused data', load: async () => (await import('./system-prune.ts')).systemPrune },
  });
}

/** Those that the table has by the same name. */
function named(table: Table, names: readonly string[]): Members {
  return renamed(table, Object.fromEntries(names.map((name) => [name, name])));
}

function renamed(table: Table, names: Readonly<Record<string, string>>): Members {
  const found = Object.entries(names).filter(([, name]) => Object.hasOwn(table, name));
  return Object.fromEntries(found.map(([word, name]) => [word, table[name] as CommandEntry]));
}

import { expect, test } from 'vitest';
import { TbuildError } from '../../../src/base/errors.ts';
import { checkFrontend } from '../../../src/dockerfile/frontend.ts';

/** What is refused, and where it stands; undefined: it is read here. */
function refused(text: string, override?: string): string | undefined {
  try {
    checkFrontend(text, 'Dockerfile', override);
    return undefined;
  } catch (error) {
    if (!(error instanceof TbuildError)) throw error;
    expect(error.code).toBe('unsupported/frontend');
    const { startLine = 0, startColumn = 0, endColumn = 0 } = error.where?.range ?? {};
    const name = /the frontend (\S+), which/.exec(error.message)?.[1] ?? error.message;
    if (startLine > 0) expect(error.where!.text.split('\n')[startLine - 1]!.slice(startColumn, endColumn)).toBe(name);
    return `${name} ${startLine}`;
  }
}

test.each([
  'docker/dockerfile',
  'docker/dockerfile:1',
  'docker/dockerfile:1.7-labs',
  'docker/dockerfile-upstream:master',
  'docker.io/docker/dockerfile:1',
  'index.docker.io/docker/dockerfile:1',
  `docker/dockerfile:1@sha256:${'a'.repeat(64)}`,
  'docker/dockerfile:1 --flag',
  'dockerfile.v0',
])('built in: %s', (reference) => {
  expect(refused(`# syntax=${reference}\nFROM x\n`)).toBeUndefined();
});

test.each([
  ['# syntax=example/other:1\nFROM x', 'example/other:1 1'],
  ['#SynTax = example/other:1 --flag x\nFROM x', 'example/other:1 1'],
  ['# syntax=ghcr.io/docker/dockerfile:1\nFROM x', 'ghcr.io/docker/dockerfile:1 1'],
  ['# syntax=docker/dockerfile-other\nFROM x', 'docker/dockerfile-other 1'],
  ['# escape=`\n# syntax=other\nFROM x', 'other 2'],
  ['\ufeff# syntax=other\r\nFROM x', 'other 1'],
  ['#!/usr/bin/env tool\n# syntax=other\n', 'other 2'],
  ['// syntax=other\n{}', 'other 1'],
  ['{\n  "syntax": "other"\n}', 'other 2'],
  ['#!/bin/x\n{"syntax": "other"}', 'other 2'],
])('another: %j', (text, expected) => {
  expect(refused(text)).toBe(expected);
});

test.each([
  '\n# syntax=other\nFROM x',
  '# a comment\n# syntax=other\nFROM x',
  '# other=x\n# syntax=other\nFROM x',
  ' # syntax=other\nFROM x',
  'FROM x\n# syntax=other',
  '{"syntax": 1}',
  '{"syntax"',
  '',
  '#!',
])('none: %j', (text) => {
  expect(refused(text)).toBeUndefined();
});

test('BUILDKIT_SYNTAX counts instead of the file', () => {
  expect(refused('# syntax=other\nFROM x', 'dockerfile.v0')).toBeUndefined();
  expect(refused('# syntax=other\nFROM x', 'docker/dockerfile:1 x')).toBeUndefined();
  expect(refused('# syntax=docker/dockerfile:1\nFROM x', ' another:2 y')).toBe('another:2 0');
  expect(refused('FROM x', '')).toBeUndefined();
});

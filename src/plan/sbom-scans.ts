// What else than the image an SBOM is to be of, as arguments of the Dockerfile say it: other stages, the build context (BuildKit:
// dockerfile2llb/convert.go, SBOMTargets). Pure.

import { parseBool } from '../base/parse-bool.ts';
import type { Environment } from '../dockerfile/words.ts';
import type { Scan } from './graph.ts';
import type { StageState } from './stage-state.ts';
import type { StageNode } from './stages.ts';

/** For a Dockerfile without these words there is nothing to find out. */
export const mentionsScans = (text: string): boolean => text.includes('BUILDKIT_SBOM_SCAN_');

/** `nodes`: those that are built. The context is asked for by the target alone, as with BuildKit. */
export function scansOf(
  nodes: readonly StageNode[],
  target: StageNode,
  globals: Environment,
  stateOf: (node: StageNode) => StageState,
): Scan[] {
  const isAsked = (node: StageNode, name: string) => {
    const own = stateOf(node).args.findLast((arg) => arg.name === name && arg.value !== undefined)?.value;
    return isEnabled(nameOf(node), own ?? globals.get(name));
  };
  const context = isAsked(target, 'BUILDKIT_SBOM_SCAN_CONTEXT') ? [{ name: 'context', of: 'context' } as const] : [];
  const stages = nodes.filter((node) => node !== target && isAsked(node, 'BUILDKIT_SBOM_SCAN_STAGE'));
  return [...context, ...stages.map((node) => ({ name: nameOf(node), of: stateOf(node).state }))];
}

const nameOf = ({ name, index }: StageNode): string => name ?? `stage-${index}`;

/** A boolean, or names of stages. */
function isEnabled(stage: string, value = ''): boolean {
  return parseBool(value) ?? value.split(',').includes(stage);
}

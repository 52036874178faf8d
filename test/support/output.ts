// What the commands of a build printed, from its events.

import type { Built } from './events.ts';

/** Of the step that is shown by a name which holds `part`, without the last line's end. */
export function outputOf({ events }: Built, part: string): string {
  const plan = events.find((event) => event.type === 'plan');
  const step = plan?.steps.find(({ name }) => name.includes(part))?.step;
  return events
    .flatMap((event) => (event.type === 'output' && event.step === step ? [event.text] : []))
    .join('')
    .trimEnd();
}

/** The error that ended the build. */
export function errorOf({ events }: Built) {
  return events.find((event) => event.type === 'error')?.error;
}

// `--platform` of the commands that take one image of those that are there for several platforms.

import type { Platform } from '../../oci/config.ts';
import { parsePlatform } from '../../oci/platform.ts';

export const platformFlag = {
  value: 'string',
  help: 'Platform of the image, where it is there for several: "os/architecture[/variant]"',
} as const;

export function parsePlatformFlag(text: string | undefined): Platform | undefined {
  return text === undefined ? undefined : parsePlatform(text);
}

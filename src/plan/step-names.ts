// The names that steps of one stage are shown by, as buildx shows them: `[build 3/7] `, `[linux/arm64 build 3/7] ` where it is built for
// several platforms (BuildKit: dockerfile2llb/convert.go, prefixCommand).

import type { Platform } from '../oci/config.ts';
import { formatPlatform, normalizePlatform, parsePlatform } from '../oci/platform.ts';

export class StepNames {
  /** The stage's name, or its index. */
  readonly stage: string;
  private readonly shown: string;
  private readonly total: number;
  private readonly showsPlatform: boolean;
  private count = 0;

  /** `shown`: as the stage is called in names; empty when there is only one. */
  constructor(stage: string, shown: string, total: number, showsPlatform: boolean) {
    this.stage = stage;
    this.shown = shown;
    this.total = total;
    this.showsPlatform = showsPlatform;
  }

  /** What stands before the next step's text. `environment` tells what a stage that runs here builds for. */
  next(isTrigger: boolean, platform: Platform, environment: ReadonlyMap<string, string> = new Map()): string {
    if (this.total === 0) return '';
    const where = this.showsPlatform ? `${formatPlatform(platform)}${crossSuffix(platform, environment)} ` : '';
    const number = String(++this.count).padStart(String(this.total).length);
    return `[${where}${this.shown === '' ? '' : `${this.shown} `}${number}/${this.total}] ${isTrigger ? 'ONBUILD ' : ''}`;
  }
}

/** `->arm64`: the stage builds for another platform than it runs on. */
function crossSuffix(platform: Platform, environment: ReadonlyMap<string, string>): string {
  const target = targetOf(platform, environment);
  if (target.os !== platform.os) return `->${formatPlatform(target)}`;
  if (target.architecture === platform.architecture) return '';
  return `->${[target.architecture, ...(target.variant ? [target.variant] : [])].join('/')}`;
}

function targetOf(platform: Platform, environment: ReadonlyMap<string, string>): Platform {
  const whole = environment.get('TARGETPLATFORM');
  if (whole !== undefined) {
    try {
      return parsePlatform(whole);
    } catch {
      // A stage may set the variable to what it likes.
    }
  }
  const variant = environment.get('TARGETVARIANT');
  return normalizePlatform({
    os: environment.get('TARGETOS') || platform.os,
    architecture: environment.get('TARGETARCH') || platform.architecture,
    ...(variant && { variant }),
  });
}

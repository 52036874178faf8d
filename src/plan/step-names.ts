// The names that steps of one stage are shown by, as buildx shows them: `[build 3/7] `.

export class StepNames {
  /** The stage's name, or its index. */
  readonly stage: string;
  private readonly shown: string;
  private readonly total: number;
  private count = 0;

  /** `shown`: as the stage is called in names; empty when there is only one. */
  constructor(stage: string, shown: string, total: number) {
    this.stage = stage;
    this.shown = shown;
    this.total = total;
  }

  /** What stands before the next step's text. */
  next(isTrigger: boolean): string {
    if (this.total === 0) return '';
    const number = String(++this.count).padStart(String(this.total).length);
    return `[${this.shown === '' ? '' : `${this.shown} `}${number}/${this.total}] ${isTrigger ? 'ONBUILD ' : ''}`;
  }
}

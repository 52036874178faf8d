// The names that steps of one stage are shown by, as buildx shows them: `[build 3/7] `.

export class StepNames {
  /** Empty when there is only one. */
  readonly stage: string;
  private readonly total: number;
  private count = 0;

  constructor(stage: string, total: number) {
    this.stage = stage;
    this.total = total;
  }

  /** What stands before the next step's text. */
  next(isTrigger: boolean): string {
    if (this.total === 0) return '';
    const number = String(++this.count).padStart(String(this.total).length);
    return `[${this.stage === '' ? '' : `${this.stage} `}${number}/${this.total}] ${isTrigger ? 'ONBUILD ' : ''}`;
  }
}

/** Conditions and their values, for lists whose filters come and go. */
export class Conditions {
  readonly #parts: string[] = [];
  readonly values: (string | number)[] = [];

  add(condition: string, value: string | number | undefined): this {
    if (value === undefined) return this;
    this.#parts.push(condition);
    this.values.push(value);
    return this;
  }
  /** A value of what stands before all conditions. */
  first(value: string | number): this {
    this.values.push(value);
    return this;
  }
  always(condition: string): this {
    this.#parts.push(condition);
    return this;
  }
  get where(): string {
    return this.#parts.length === 0 ? '' : `WHERE ${this.#parts.join(' AND ')}`;
  }
}

// An object whose members are what they are, as a structure of Go: a template that asks for another one is wrong, where of a map it gets no value.

export class Struct {
  constructor(members: object) {
    Object.assign(this, members);
  }
}

// Who a user is to a registry.

export type Credentials =
  | { readonly user: string; readonly password: string }
  /** What a token server takes for a user, and gives tokens for. */
  | { readonly identityToken: string }
  /** A token for the registry itself. */
  | { readonly registryToken: string };

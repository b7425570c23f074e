export { KerberosTickets, type KerberosTicketsOptions, type OwnAccount } from './kerberos-tickets.ts';
export { type KeytabEntry, keysOf, parseKeytab } from './keytab.ts';
export { type Krb5Conf, parseKrb5Conf, readKrb5Conf } from './krb5-conf.ts';

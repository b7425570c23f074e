export { KerberosTickets, type KerberosTicketsOptions } from './kerberos-tickets.ts';
export { type Krb5Conf, parseKrb5Conf, readKrb5Conf } from './krb5-conf.ts';

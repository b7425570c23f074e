/** `lucid-anchor.sol`, compiled. A test compiles it again and compares. */
export const anchorContractAbi = [
  {
    type: 'event',
    name: 'Anchored',
    inputs: [
      { name: 'digest', type: 'bytes32', indexed: true },
      { name: 'time', type: 'uint256', indexed: false },
    ],
  },
  {
    type: 'function',
    name: 'anchor',
    inputs: [{ name: 'digest', type: 'bytes32' }],
    outputs: [],
    stateMutability: 'nonpayable',
  },
  {
    type: 'function',
    name: 'anchoredAt',
    inputs: [{ name: 'digest', type: 'bytes32' }],
    outputs: [{ name: '', type: 'uint256' }],
    stateMutability: 'view',
  },
] as const;

/** What is sent to deploy it. solc 0.8.37, optimizer 1000 runs, EVM version paris, no metadata. */
export const anchorContractCode: `0x${string}` = `0x${[
  '6080604052348015600f57600080fd5b5060ef8061001e6000396000f3fe6080604052348015600f57600080fd5b5060',
  '04361060325760003560e01c80639591a610146037578063eecdf927146066575b600080fd5b6054604236600460d756',
  '5b60006020819052908152604090205481565b60405190815260200160405180910390f35b6075607136600460d7565b',
  '6077565b005b60008181526020819052604090205415608d5750565b6000818152602081815260409182902042908190',
  '55915191825282917ffde54488b5523b3abf19b99976dd0e2c531fbcd233d0eb682c96c3a18cf6b3c191016040518091',
  '0390a250565b60006020828403121560e857600080fd5b503591905056',
].join('')}`;

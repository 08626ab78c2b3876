/**
 * Where our store answers neither as xenstored 4.17 nor as oxenstored: the line of the script, and
 * what we print below it.
 */
export const ours: Readonly<Record<string, readonly (readonly string[])[]>> = {
  // Children are sorted as by oxenstored, without its two special names; a number must be one.
  'nodes.txt': [
    ['a ls /|', '  libxl|local|t|tool|vm'],
    ['a home -1|', '  !EINVAL'],
    ['a home x|', '  !EINVAL'],
  ],
  // oxenstored has no such request; children are sorted; an offset must be a number.
  'directory-part.txt': [
    ['a part /t|x|', '  !EINVAL'],
    ['a part /t|-1|', '  !EINVAL'],
    ['a part /t|0|', '  {n*1000}|one|{o*1000}|{q*1000}|{r*1000}|two||'],
    ['a part /t|3011|', '  {r*996}|two||'],
  ],
  // A permission names a real domain. Special names have permissions to ask for, and guests
  // are told that they may not.
  'permissions.txt': [
    ['1 chmod /t/a|n1|r65535|', '  !EINVAL'],
    ['1 perms /t/a|', '  n1|r2|n2'],
    ['1 chmod /t/a|n1|r32752|', '  !EINVAL'],
    ['1 perms /t/a|', '  n1|r2|n2'],
    ['1 perms @releaseDomain|', '  !EACCES'],
    ['1 chmod @releaseDomain|n1|', '  !EACCES'],
    ['a target x|y|', '  !EINVAL'],
  ],
  // Special names have permissions to ask for.
  'watches.txt': [
    ['a perms @releaseDomain|', '  n0|r1'],
  ],
  // Children are sorted; there are fewer control commands; see also directory-part.txt.
  'transactions.txt': [
    ['a ls /t|', '  n|q1|q2|x|y|z'],
    [
      'a:t control help|',
      '  check\\x09\\x0aprint\\x09<string>\\x0aquota\\x09[set\\x20<name>\\x20<val>|<domid>]\\x0a' +
      'help\\x09\\x0a',
    ],
    ['a:t part /t|0|', '  aa|bb|x||'],
  ],
  // The size of a node is that of its value, as for oxenstored. What guests asked for went
  // through Linux, which says the same in its own words.
  'quotas.txt': [
    ['1 until mkdir data/a/{i}|', '  after 985 !ENOSPC'],
    ['1 until mkdir data/b/{i}|', '  after 0 !ENOSPC'],
    ['1 until watch data|{i}|', '  after 129 !E2BIG'],
    ['1 until watch data|{i}|', '  after 129 !E2BIG'],
  ],
  // A number must be one; there are fewer control commands, quotas and counts.
  'domains.txt': [
    ['a introduce 1|x|1|', '  !EINVAL'],
    [
      'a control help|',
      '  check\\x09\\x0aprint\\x09<string>\\x0aquota\\x09[set\\x20<name>\\x20<val>|<domid>]\\x0a' +
      'help\\x09\\x0a',
    ],
    ['a control log|on|', '  !EINVAL'],
    ['a control log|off|', '  !EINVAL'],
    [
      'a control quota|',
      '  Quota\\x20settings:\\x0anodes{\\x20*12}:\\x20\\x20\\x20\\x20\\x201000\\x20Nodes\\x20per' +
      '\\x20domain\\x0awatches{\\x20*10}:\\x20\\x20\\x20\\x20\\x20\\x20128\\x20Watches\\x20per' +
      '\\x20domain\\x0atransactions\\x20\\x20\\x20\\x20\\x20:\\x20\\x20\\x20\\x20\\x20\\x20\\x20' +
      '10\\x20Transactions\\x20per\\x20domain\\x0atransaction-nodes:\\x20\\x20\\x20\\x20\\x20102' +
      '4\\x20Max.\\x20number\\x20of\\x20accessed\\x20nodes\\x20per\\x20transaction\\x0anode-size' +
      '\\x20\\x20\\x20\\x20\\x20\\x20\\x20\\x20:\\x20\\x20\\x20\\x20\\x202048\\x20Max.\\x20size' +
      '\\x20of\\x20a\\x20node\\x0apath-max\\x20\\x20\\x20\\x20\\x20\\x20\\x20\\x20\\x20:\\x20' +
      '\\x20\\x20\\x20\\x203072\\x20Max.\\x20length\\x20of\\x20a\\x20node\\x20path\\x0apermissio' +
      'ns\\x20\\x20\\x20\\x20\\x20\\x20:\\x20\\x20\\x20\\x20\\x20\\x20\\x20\\x205\\x20Max.\\x20n' +
      'umber\\x20of\\x20permissions\\x20per\\x20node\\x0a',
    ],
    ['a control quota|x|', '  !EINVAL'],
    [
      'a control quota|1|',
      '  Domain\\x201:\\x0anodes{\\x20*11}:\\x20\\x20\\x20\\x20\\x20\\x20\\x2012\\x0awatches\\x2' +
      '0\\x20\\x20\\x20\\x20\\x20\\x20\\x20\\x20:\\x20\\x20\\x20\\x20\\x20\\x20\\x20\\x200\\x0at' +
      'ransactions\\x20\\x20\\x20\\x20:\\x20\\x20\\x20\\x20\\x20\\x20\\x20\\x200\\x0a',
    ],
    ['a control quota|max|', '  !EINVAL'],
    [
      'a control quota|2|',
      '  Domain\\x202:\\x0anodes{\\x20*11}:\\x20\\x20\\x20\\x20\\x20\\x20\\x2013\\x0awatches\\x2' +
      '0\\x20\\x20\\x20\\x20\\x20\\x20\\x20\\x20:\\x20\\x20\\x20\\x20\\x20\\x20\\x20\\x200\\x0at' +
      'ransactions\\x20\\x20\\x20\\x20:\\x20\\x20\\x20\\x20\\x20\\x20\\x20\\x200\\x0a',
    ],
  ],
}

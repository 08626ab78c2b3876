/**
 * The instructions whose handlers stand in the interpreter's loop: an example encoding each.
 *
 * A handler in the loop costs no call. These shapes made up 99.5 % of the code that a Debian kernel
 * and busybox executed from boot to the end of a shell session; what is not here is carried out by
 * a function of its own, made when it is first decoded.
 */
import type { Decode } from '../../isa/decode/decoder.ts'
import type { Instruction } from '../../isa/operand.ts'

/** By definition, most frequent first. */
export const hotEncodings: Readonly<Record<string, string>> = {
  mov:
    '4989e6 488b06 4889442410 89c7 418b00 b9010100c0 48c7c714da2c82 891c24 ' +
    '48c705cbfe0b00495e0583 65488b042528000000 c705203534ff02000000 c6055f3734ff01 ' +
    '4c8b5416f0 48bb00000000000011ff 880509320b00 448b4416fc 66890424 658b1d2545fa7c ' +
    '488914cb 8a15ab310b00 44894417fc 44880c17 6644895417fe 65488905d62cfe7c 658a02 ' +
    '43c6041100 4188d9 66c70547310b000c02 428a0423 668b056b2c27ff 48c704c300000000 b001 ' +
    '658802 c70495c0cc2b8301000000 65c705b3b2fa7cec000000 65668b05e71afb7e 66448b5416fe ' +
    '6548c705a91ffb7e01000000 658905727bfc7c',
  pop: '5b',
  je: '7420',
  push: '4156 6a10 6859010081 ff742420',
  call: 'e82c1501fe ffd0 ff1514f79dff',
  jne: '7517',
  nop: '0f1f440000 6690 0f1f00 660f1f840000000000 90',
  jmp: 'e9bb67d900 ffe0 ff25ba0d1e00 ff24d0',
  xor: '31d2 4233048a 4831f7 4530ed 3342e0 83f101 483383b8000000 80755006',
  test:
    '4885d2 85c0 a803 f60001 84d2 a9ffffff7f 6685ff f705f883390101000000 48f7c79fffffff ' +
    '48f7042400020000 42f644281a08',
  ret: 'c3',
  lea: '488d0543990502 488d04c3 458d5501 8d0c03',
  cmp:
    '4839ca 83f801 803d6c428f0100 4881fd00008083 4883fa07 80fa7e 39c6 48833800 ' +
    '81fb00000140 483b3d1cad8c01 483907 833d1c300b0000 39460c 3b1d70239c01 6683f801 ' +
    '663d8680 4038fe 44387314 48813de70fb801b06ba081 817b2006000080 66833d1ac1260000 ' +
    '48833cc5803f1c8300 66817f050fb9 3a1406 803c130a 4438143a 664139c5 4a391cc5803f1c83 ' +
    '6448833c2598ffffff00 403a7101',
  add:
    '4883c708 4801f8 01c8 83c134 480315f62f0b00 480500000080 4c0180f00f0000 ' +
    '6548031d3a93f07e 83430401 03540500 480304dd60eb3982 015d70 4883042408 034f04 ' +
    '81c300010000 f0834424fc00 654c012d56a9d47e 80450501 00cb 83048580d5348301 ' +
    '658105802bf87e00000100',
  and:
    '83e020 81e261810007 4883e0fc 4821c2 21f7 4981e40000e0ff 6681e28000 80e702 ' +
    '4823052c1b36ff 8025a3d3250001 231dba2a9501 49233cf2 83258ef29bfffe 418165307fffffff ' +
    '20d0 488320fe',
  sub:
    '4883ec18 4829d0 65482b042528000000 4429c0 482b054d97a101 83e870 482d00000081 ' +
    '83a81814000001 2b1509932500 4883ac248800000001 2d05000040 48295310 662b6c2414 294504 ' +
    '432b04ae',
  movzx: '0fb603 0fb6c0 0fb7442408 0fb6040f 0fb78c36e09d1182 450fb7f5',
  jb: '0f82d2000000',
  shr: '48c1ea20 c1eb17 48d3e8 d3ed c0e804 66d1e8',
  ja: '77e6',
  jae: '73d7',
  setne: '0f95c0 0f95818001c482',
  movsxd: '4863c9 486333 4a63740340',
  jbe: '7675',
  shl: '48c1e230 48d3e0 c1e208 d3e0',
  dec: '65ff0d007a607e ff0daa9e0a00 ffc9 48ffc8',
  js: '7803',
  jle: '0f8eb9030000',
  inc: '65ff051cfaf07e 48ffc5 ffc6 ff05d89e0a00 6548ff4218 48ff03',
  rol: '41c1c010 48c1c70c',
  jg: '7f0c',
  ror: 'c1ce0c',
  sete: '410f94c6 0f9444241b',
  or:
    '09fe 4809d0 83c810 4883c8ff 804d0420 0b8260ca2b83 81c9a0000000 4008f2 ' +
    'f0808bf800000002 834b5402 480b3d35c69fff 41814d2880000000 0c80 098380000000 ' +
    '480d00001000 48830801 660b8de0140000 48810dc978bcff00010000',
  imul:
    '4c0faff2 4869c600ca9a3b 486bc014 0fafd6 69f17b140000 480faf157f631e02 ' +
    '486905e0d09c0100093d00 6bd2c0 0faf5318',
  stos: 'f348ab f3aa f3ab',
  sar: '49c1fa30 c1fb1f d3f8 48d3f8',
  xadd: '3e410fc10424 3e490fc18508030000',
  not: '48f7d2 f7d7',
  mul: '48f7e2',
  cmove: '480f44c2 0f44d1 480f44442428',
  neg: '48f7d8 f7d8',
  jns: '79e2',
  cbw: '4898',
  cmpxchg: 'f00fb117 3e0fb117 3e480fb117 f0480fb113',
  cmovb: '4c0f42f0 410f42f5',
  cmovne: '480f45c1 0f45e8',
  cmovae: '480f43c3 0f43c2',
  pcmpeqb: '660f74e0 660f740f',
  sbb: '19c0 4819d2 4883daff',
  shrd: '480facd020',
  pxor: '660fefd8',
  jge: '7d36',
  jl: '7c35',
  cmovs: '490f48cc 0f48d0',
  pmovmskb: '660fd7d4',
  cmova: '4c0f47fa 440f47e8',
  movs: 'f3a4 f348a5 f3a5',
  movups: '0f1105f09c1d00 0f117c17f0',
  movaps: '0f2900 0f280e',
  movdqa: '66440f6f25a58d2501 660f6f0417 66440f6fd0',
  bt: '490fa34500 480fbae039 0fbae714 480fa3d0',
  div: '49f7f2 f7f3',
  palignr: '660f3a0f4417f005',
  setb: '400f92c5',
  pcmpistri: '660f3a6304161a 660f3a63c802',
  bts: '480fba2d909fa1013f 480fab2c24 480fbaee3f f0480fab0517f22500',
  movdqu: 'f30f6f07 f30f6f140e',
  cmovbe: '480f46d1 0f46d8',
  movsx: '0fbf564a 0fbe5001 480fbec0 0fbed2 480fbe10',
  paddb: '660ffcf9',
  psubb: '660ff8c8',
  pslldq: '660f73fa0b',
  tzcnt: 'f3480fbcc9',
  xchg: '8710 91 4887f7 49870424',
  cmovg: '480f4fc8 0f4fd0',
  bsf: '0fbcdd 480fbcd2',
  leave: 'c9',
  cli: 'fa',
  sti: 'fb',
  pushf: '9c',
  popf: '9d',
  swapgs: '0f01f8',
  stac: '0f01cb',
  clac: '0f01ca',
  rdtsc: '0f31',
  cld: 'fc',
  lfence: '0faee8',
  bsr: '480fbdc3 0fbdfa',
  bswap: '480fce 0fc8',
  setl: '0f9cc0',
  pcmpgtb: '660f64fd',
  cwd: '4899 99',
  idiv: '49f7fa',
  cmovns: '480f49ca',
  movd: '66480f6ec0 66440f6ef9 660f6e2486',
  adc: '4811ce',
  btr: '480fba70c00c 480fb317',
  pshufd: '660f70c093',
  pandn: '660fdffe',
  seta: '0f97c0',
  setg: '0f9fc0',
  por: '66410febc8',
  cmovge: '480f4dd3 440f4de2',
  punpcklqdq: '660f6ce6',
  punpcklbw: '660f60c0',
  punpcklwd: '660f61c0',
  setbe: '410f96c5',
  setae: '0f93c1',
  cmovle: '480f4ed1 0f4ec3',
  seto: '410f90c4',
  pminub: '660fda2f',
  cmovl: '480f4cf0 0f4cd0',
  paddd: '660ffec4',
  pshufb: '66410f3800dc',
  punpckldq: '660f62e5',
  // What the C library's string functions are made of, now that CPUID has AVX2.
  vpcmpeqb: 'c5fd74da c5fd740f c58174d0 c5fd744c06e0 c5f9740e c5f9740c16',
  vpmovmskb: 'c5fdd7c1 c5f9d7c1',
  vzeroupper: 'c5f877',
  vmovdqu:
    'c5fe6f06 c5fe6f4c16e0 c5fe7f07 c5fe7f4c17e0 c5fa6f06 c5fa6f4c16f0 c5fa7f07 c5fa7f4c17f0',
  vmovdqa: 'c5fd6f5701 c5fd7f0f',
  vpor: 'c5edebe9',
  vpminub: 'c5cddad2 c5f5da5721',
  vpandn: 'c5eddfc9 c5e9dfc9',
  vpxor: 'c5fdefd6 c5f1efc9',
  vpand: 'c5f5dbc8',
  vmovd: 'c5f96ec6 c5f96e07 c5f96e0417',
  vmovq: 'c5fa7e07 c5fa7e0417',
  vpbroadcastb: 'c4e27d78c0',
}

/** The instructions of encodings by definition, as 64-bit code. */
export function instructionsOf(
  encodings: Readonly<Record<string, string>>, decode: Decode,
): readonly Instruction[] {
  const found: Instruction[] = []
  for (const hex of Object.values(encodings).join(' ').split(' ')) {
    const bytes = Uint8Array.from(hex.match(/../g) ?? [], (digits) => parseInt(digits, 16))
    const instruction = decode(bytes, { long: true, defaultSize32: true })
    if (typeof instruction !== 'string') found.push(instruction)
  }
  return found
}

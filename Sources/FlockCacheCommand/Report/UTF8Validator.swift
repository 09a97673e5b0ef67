/// Whether bytes are UTF-8 (RFC 3629), piece by piece.
struct UTF8Validator {
    private var following = 0
    private var lowest: UInt8 = 0x80
    private var highest: UInt8 = 0xbf
    private var isValid = true

    /// Whether what was fed is valid as a whole.
    var isComplete: Bool { isValid && following == 0 }

    mutating func feed(_ bytes: UnsafeRawBufferPointer) {
        for byte in bytes where isValid {
            if following > 0 {
                isValid = lowest <= byte && byte <= highest
                (lowest, highest) = (0x80, 0xbf)
                following -= 1
                continue
            }
            switch byte {
            case 0..<0x80: break
            case 0xc2...0xdf: following = 1
            case 0xe0...0xef:
                following = 2
                if byte == 0xe0 { lowest = 0xa0 }
                if byte == 0xed { highest = 0x9f }
            case 0xf0...0xf4:
                following = 3
                if byte == 0xf0 { lowest = 0x90 }
                if byte == 0xf4 { highest = 0x8f }
            default: isValid = false
            }
        }
    }
}

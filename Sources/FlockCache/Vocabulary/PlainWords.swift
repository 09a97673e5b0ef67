extension Duration {
    /// The duration in words for people: "0.2 s", "12 s", "5 min", "3 h", "9 d".
    package var spoken: String {
        let (seconds, attoseconds) = components
        switch seconds {
        case ..<0: return "0 s"
        case ..<10: return "\(seconds).\(attoseconds / 100_000_000_000_000_000) s"
        case ..<120: return "\(seconds) s"
        case ..<7200: return "\(seconds / 60) min"
        case ..<172_800: return "\(seconds / 3600) h"
        default: return "\(seconds / 86400) d"
        }
    }
}

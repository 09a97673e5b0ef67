internal import FlockCache

// Whose claim it is: as named, else the calling program's.

extension Invocation {
    /// For whom a claim is made.
    func claimOwner() throws(Failure) -> ClaimOwner {
        guard let program = try chosenOwner() else {
            guard has(.staleAfter) else {
                throw .usage(
                    "--owner none needs --stale-after: nothing else would ever end the claim")
            }
            return .nobody
        }
        if words.isVerbose {
            words.say("the claim is for pid \(program.identity.id) (\(shown(program.command)))")
        }
        return .process(program.identity, command: program.command)
    }

    /// By what right a claim is ended.
    func claimRight() throws(Failure) -> ClaimRight {
        if let generation = number(.generation) { return .generation(generation) }
        return .owner(try chosenOwner()?.identities ?? [])
    }

    /// nil is nobody.
    private func chosenOwner() throws(Failure) -> CallingProgram? {
        switch try namedOwner() {
        case nil: try CallingProgram.find()
        case .nobody: nil
        case .process(let process):
            try CallingProgram.named(
                process, orElse: ", or use --owner none with --stale-after")
        }
    }

    private func namedOwner() throws(Failure) -> NamedOwner? {
        if let owner = owner(.owner) { return owner }
        guard let text = environment.setting(.owner) else { return nil }
        guard let owner = NamedOwner(argument: text) else {
            throw Failure(
                .configuration,
                "\(Variable.owner) is neither a process number nor 'none': \(shown(text))")
        }
        return owner
    }
}

extension ClaimOwner {
    /// The process, where it is one that was named or found.
    var processID: Int32? {
        if case .process(let identity, _) = self { identity.id } else { nil }
    }
}
